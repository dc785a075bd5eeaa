{{/* Ports of the Services inside the cluster. The protocol is said although it is the
     default: a server-side apply to an older Kubernetes asks for it. */}}
{{- define "ferrymq.servicePorts" -}}
{{- range $name := include "ferrymq.listeners" . | fromJsonArray }}
{{- $listener := include "ferrymq.listener" (dict "root" $ "name" $name) | fromJson }}
- name: {{ $name | quote }}
  port: {{ $listener.port }}
  targetPort: {{ $name | quote }}
  protocol: TCP
  appProtocol: {{ include "ferrymq.appProtocol" $listener.protocol | quote }}
{{- end }}
- name: http
  port: {{ .Values.http.port }}
  targetPort: http
  protocol: TCP
  appProtocol: http
{{- with .Values.http.metricsPort }}
- name: metrics
  port: {{ . }}
  targetPort: metrics
  protocol: TCP
  appProtocol: http
{{- end }}
{{- end -}}

{{- define "ferrymq.ipFamilies" -}}
{{- with .Values.service.ipFamilyPolicy }}
ipFamilyPolicy: {{ . | quote }}
{{- end }}
{{- with .Values.service.ipFamilies }}
ipFamilies:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
