{{/* What runs before the broker, in order: the user's, the configuration's check,
     the volume's owner, the replica. */}}
{{- define "ferrymq.initContainers" -}}
{{- with .Values.extraInitContainers }}
{{ toYaml . }}
{{- end }}
{{- if .Values.configCheck.init }}
- name: config-check
  {{- include "ferrymq.container" (dict "root" . "volume" false) | nindent 2 }}
  args:
    {{- include "ferrymq.checkArgs" . | nindent 4 }}
{{- end }}
{{- if and .Values.persistence.enabled .Values.persistence.volumePermissions.enabled }}
{{ include "ferrymq.volumePermissions" . }}
{{- end }}
{{- if .Values.litestream.enabled }}
{{- if .Values.litestream.restore.enabled }}
{{ include "ferrymq.litestream.restore" . }}
{{- end }}
{{- if include "ferrymq.nativeSidecars" . }}
{{ include "ferrymq.litestream.sidecar" . }}
  restartPolicy: Always
{{- end }}
{{- end }}
{{- end -}}

{{/* Root, with no more than what chown needs. */}}
{{- define "ferrymq.volumePermissions" -}}
- name: volume-permissions
  {{- include "ferrymq.image" (dict "image" .Values.persistence.volumePermissions.image) | nindent 2 }}
  command: [chown, -R, {{ printf "%d:%d" (int (default 10001 .Values.podSecurityContext.runAsUser)) (int (default 10001 .Values.podSecurityContext.runAsGroup)) | quote }}, {{ .Values.persistence.mountPath | quote }}]
  securityContext:
    runAsNonRoot: false
    runAsUser: 0
    runAsGroup: 0
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop: [ALL]
      add: [CHOWN, DAC_READ_SEARCH]
  volumeMounts:
    {{- include "ferrymq.dataMount" . | nindent 4 }}
  {{- with .Values.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
