{{/* The broker's pod, for StatefulSet and Deployment alike. */}}

{{/* A container of the broker's image without its arguments: image, environment,
     security, mounts and resources. dict "root" $ ["volume" BOOL] ["elsewhere" BOOL: it
     may run on another node] ["resources" MAP]: without it the broker's, which cost
     nothing in an init container. */}}
{{- define "ferrymq.container" -}}
{{- $values := .root.Values -}}
{{ include "ferrymq.image" (dict "image" $values.image "tag" .root.Chart.AppVersion) }}
{{- with $values.image.command }}
command:
  {{- toYaml . | nindent 2 }}
{{- end }}
env:
  - name: FERRYMQ_CONFIG
    value: /etc/ferrymq/ferrymq.toml
  {{- if and .volume $values.persistence.enabled }}
  - name: SQLITE_TMPDIR
    value: {{ $values.persistence.mountPath | quote }}
  {{- end }}
  {{- with include "ferrymq.bridgeEnv" .root | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with $values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml $values.securityContext | nindent 2 }}
volumeMounts:
  - name: config
    mountPath: /etc/ferrymq
    readOnly: true
  {{- if .volume }}
  {{- include "ferrymq.dataMount" .root | nindent 2 }}
  {{- end }}
  {{- range $values.extraVolumeMounts }}
  {{- if or (not $.elsewhere) (has .name (include "ferrymq.looseVolumeNames" $.root | fromJsonArray)) }}
  {{- toYaml (list .) | nindent 2 }}
  {{- end }}
  {{- end }}
{{- with .resources | default $values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* extraVolumes that a pod on another node can have at the same time, as JSON: a claim
     would keep it waiting. */}}
{{- define "ferrymq.looseVolumes" -}}
{{- $loose := list -}}
{{- range .Values.extraVolumes -}}
{{- if not (or (hasKey . "persistentVolumeClaim") (hasKey . "ephemeral")) }}{{ $loose = append $loose . }}{{ end -}}
{{- end -}}
{{- toJson $loose -}}
{{- end -}}

{{- define "ferrymq.looseVolumeNames" -}}
{{- $names := list -}}
{{- range include "ferrymq.looseVolumes" . | fromJsonArray }}{{ $names = append $names .name }}{{ end -}}
{{- toJson $names -}}
{{- end -}}

{{/* The broker's arguments decide about its configuration, too. */}}
{{- define "ferrymq.checkArgs" -}}
- config
- check
{{- with .Values.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "ferrymq.dataMount" -}}
{{- if .Values.persistence.enabled -}}
- name: data
  mountPath: {{ .Values.persistence.mountPath | quote }}
  {{- with .Values.persistence.subPath }}
  subPath: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* The claim's name: one of the user's, or the StatefulSet's first. */}}
{{- define "ferrymq.claim" -}}
{{- .Values.persistence.existingClaim | default (printf "data-%s-0" (include "ferrymq.fullname" .)) -}}
{{- end -}}

{{/* What all pods of the chart share. */}}
{{- define "ferrymq.podBase" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
automountServiceAccountToken: false
# FERRYMQ_PORT and the like would look like keys of the configuration.
enableServiceLinks: false
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- end -}}

{{/* One probe: dict "probe" MAP "path" PATH "failures" NUMBER. */}}
{{- define "ferrymq.probe" -}}
httpGet:
  path: {{ .path | quote }}
  port: http
periodSeconds: {{ .probe.periodSeconds }}
timeoutSeconds: {{ .probe.timeoutSeconds }}
failureThreshold: {{ .failures | default .probe.failureThreshold }}
{{- end -}}

{{- define "ferrymq.broker" -}}
- name: ferrymq
  {{- include "ferrymq.container" (dict "root" . "volume" true) | nindent 2 }}
  args:
    - serve
    {{- with .Values.extraArgs }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    {{- range $name := include "ferrymq.listeners" . | fromJsonArray }}
    - name: {{ $name | quote }}
      containerPort: {{ (get $.Values.listeners $name).port }}
      protocol: TCP
    {{- end }}
    - name: http
      containerPort: {{ .Values.http.port }}
      protocol: TCP
    {{- with .Values.http.metricsPort }}
    - name: metrics
      containerPort: {{ . }}
      protocol: TCP
    {{- end }}
  {{- with .Values.startupProbe }}
  {{- if .enabled }}
  startupProbe:
    {{- include "ferrymq.probe" (dict "probe" . "path" "/readyz" "failures" (.failureThreshold | default (include "ferrymq.startupFailures" $))) | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- with .Values.readinessProbe }}
  {{- if .enabled }}
  readinessProbe:
    {{- include "ferrymq.probe" (dict "probe" . "path" "/readyz") | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- with .Values.livenessProbe }}
  {{- if .enabled }}
  livenessProbe:
    {{- include "ferrymq.probe" (dict "probe" . "path" "/healthz") | nindent 4 }}
  {{- end }}
  {{- end }}
{{- end -}}

{{/* Metadata and spec of the pod. */}}
{{- define "ferrymq.podTemplate" -}}
{{- $values := .Values -}}
metadata:
  labels:
    {{- /* Without versions: a new chart alone is no reason to restart the broker. */}}
    {{- merge (include "ferrymq.selectorLabels" . | fromYaml) $values.podLabels $values.commonLabels | toYaml | nindent 4 }}
  annotations:
    {{- /* A changed configuration restarts the pod, unless the running broker takes it over
           when the files in its volume change: passwords, rules, keys and certificates. */}}
    {{- $sums := dict "checksum/config" (include "ferrymq.config.sum" .) }}
    {{- if $values.litestream.enabled }}{{ $_ := set $sums "checksum/litestream" (include "ferrymq.litestream.config" . | sha256sum) }}{{ end }}
    {{- merge $sums $values.podAnnotations $values.commonAnnotations | toYaml | nindent 4 }}
spec:
  serviceAccountName: {{ include "ferrymq.serviceAccountName" . | quote }}
  {{- include "ferrymq.podBase" . | trim | nindent 2 }}
  terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
  {{- with include "ferrymq.initContainers" . | trim }}
  initContainers:
    {{- . | nindent 4 }}
  {{- end }}
  containers:
    {{- include "ferrymq.broker" . | nindent 4 }}
    {{- if and $values.litestream.enabled (not (include "ferrymq.nativeSidecars" .)) }}
    {{- include "ferrymq.litestream.sidecar" . | nindent 4 }}
    {{- end }}
    {{- with $values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "ferrymq.configVolume" (dict "root" . "config" (printf "%s-config" (include "ferrymq.fullname" .))) | nindent 4 }}
    {{- if and $values.persistence.enabled (or $values.persistence.existingClaim (eq $values.workload.kind "Deployment")) }}
    - name: data
      persistentVolumeClaim:
        claimName: {{ include "ferrymq.claim" . | quote }}
    {{- end }}
    {{- if $values.litestream.enabled }}
    - name: litestream
      secret:
        secretName: "{{ include "ferrymq.fullname" . }}-litestream"
        defaultMode: 0440
    {{- end }}
    {{- with $values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- range $key := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "priorityClassName" "schedulerName" "runtimeClassName" "dnsPolicy" "dnsConfig" "hostAliases" }}
  {{- with get $values $key }}
  {{- toYaml (dict $key .) | nindent 2 }}
  {{- end }}
  {{- end }}
{{- end -}}
