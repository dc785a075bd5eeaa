{{/* Litestream: docs/litestream.md says what it protects. */}}

{{/* Init containers that go on running and end after the broker: on by default from
     Kubernetes 1.29 on. Litestream then sees the broker's last commits. */}}
{{- define "ferrymq.nativeSidecars" -}}
{{- if semverCompare ">=1.29.0-0" (include "ferrymq.kubeVersion" .) }}true{{ end -}}
{{- end -}}

{{/* litestream.yml */}}
{{- define "ferrymq.litestream.config" -}}
{{- $config := deepCopy .Values.litestream.config -}}
{{- with .Values.litestream.metricsPort }}{{ $_ := set $config "addr" (printf ":%d" (int .)) }}{{ end -}}
{{- $_ := set $config "dbs" (list (dict "path" (include "ferrymq.database" .) "replica" .Values.litestream.replica)) -}}
{{- toYaml $config -}}
{{- end -}}

{{/* Whether it goes over the network: Litestream takes the kind of a replica from its URL,
     from its type, and else it is a directory. */}}
{{- define "ferrymq.litestream.isRemote" -}}
{{- $replica := .Values.litestream.replica -}}
{{- $kind := get $replica "url" | toString | splitList ":" | first | default (get $replica "type" | toString) | default "file" -}}
{{- if and .Values.litestream.enabled (ne $kind "file") }}true{{ end -}}
{{- end -}}

{{- define "ferrymq.litestream.container" -}}
{{- $litestream := .Values.litestream -}}
{{ include "ferrymq.image" (dict "image" $litestream.image) }}
{{- with $litestream.extraEnv }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $litestream.existingSecret }}
envFrom:
  - secretRef:
      name: {{ . | quote }}
{{- end }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
volumeMounts:
  - name: litestream
    mountPath: /etc/litestream
    readOnly: true
  {{- include "ferrymq.dataMount" . | nindent 2 }}
  {{- with $litestream.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $litestream.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "ferrymq.litestream.sidecar" -}}
- name: litestream
  {{- include "ferrymq.litestream.container" . | nindent 2 }}
  args: [replicate, -config, /etc/litestream/litestream.yml]
  {{- with .Values.litestream.metricsPort }}
  ports:
    - name: litestream
      containerPort: {{ . }}
      protocol: TCP
  {{- end }}
{{- end -}}

{{/* Does nothing where a database is, or where there is no replica yet. */}}
{{- define "ferrymq.litestream.restore" -}}
- name: litestream-restore
  {{- include "ferrymq.litestream.container" . | nindent 2 }}
  args: [restore, -config, /etc/litestream/litestream.yml, -if-db-not-exists, -if-replica-exists, {{ include "ferrymq.database" . | quote }}]
{{- end -}}
