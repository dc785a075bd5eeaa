{{/* Ports of the Services inside the cluster. */}}
{{- define "ferrymq.servicePorts" -}}
{{- range $name := include "ferrymq.listeners" . | fromJsonArray }}
{{- $listener := get $.Values.listeners $name }}
- name: {{ $name }}
  port: {{ $listener.port }}
  targetPort: {{ $name }}
  appProtocol: {{ dig "protocol" "mqtt" $listener }}
{{- end }}
- name: http
  port: {{ .Values.http.port }}
  targetPort: http
  appProtocol: http
{{- with .Values.http.metricsPort }}
- name: metrics
  port: {{ . }}
  targetPort: metrics
  appProtocol: http
{{- end }}
{{- end -}}

{{- define "ferrymq.ipFamilies" -}}
{{- with .Values.service.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .Values.service.ipFamilies }}
ipFamilies:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
