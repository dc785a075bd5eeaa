{{/* The broker's configuration: what other values decide, and `config` on top. */}}

{{/* ADDRESS:PORT, with brackets around an IPv6 address: dict "root" $ "port" NUMBER. */}}
{{- define "ferrymq.bind" -}}
{{- $address := .root.Values.bindAddress -}}
{{- if contains ":" $address }}[{{ $address }}]{{ else }}{{ $address }}{{ end }}:{{ int .port -}}
{{- end -}}

{{/* Names of the listeners that are on, in order, as JSON. */}}
{{- define "ferrymq.listeners" -}}
{{- $names := list -}}
{{- range $name := keys .Values.listeners | sortAlpha -}}
{{- with get $.Values.listeners $name }}{{ if dig "enabled" true . }}{{ $names = append $names $name }}{{ end }}{{ end -}}
{{- end -}}
{{- toJson $names -}}
{{- end -}}

{{/* [listeners.*], as JSON. The broker has a listener `tcp` on loopback unless told. */}}
{{- define "ferrymq.config.listeners" -}}
{{- $tables := dict "tcp" (dict "bind" "off") -}}
{{- range $name := include "ferrymq.listeners" . | fromJsonArray -}}
{{- $listener := get $.Values.listeners $name -}}
{{- $table := deepCopy (dig "config" dict $listener) -}}
{{- range $key := list "bind" "protocol" -}}
{{- if hasKey $table $key }}{{ fail (printf "listeners.%s.config.%s: set listeners.%s.port and .protocol instead, which the Services follow" $name $key $name) }}{{ end -}}
{{- end -}}
{{- $_ := set $table "protocol" (dig "protocol" "mqtt" $listener) -}}
{{- $_ := set $table "bind" (include "ferrymq.bind" (dict "root" $ "port" $listener.port)) -}}
{{- $_ := set $tables $name $table -}}
{{- end -}}
{{- toJson $tables -}}
{{- end -}}

{{/* What the chart decides, as JSON. A key that only newer brokers know is there only
     if it is used. */}}
{{- define "ferrymq.config.own" -}}
{{- $values := .Values -}}
{{- $http := dict "bind" (include "ferrymq.bind" (dict "root" . "port" $values.http.port)) -}}
{{- with $values.http.metricsPort }}{{ $_ := set $http "metrics_bind" (include "ferrymq.bind" (dict "root" $ "port" .)) }}{{ end -}}
{{- if not $values.http.console }}{{ $_ := set $http "console" false }}{{ end -}}
{{- if include "ferrymq.tokenSecret" . }}{{ $_ := set $http "token_file" "/etc/ferrymq/token" }}{{ end -}}
{{- $auth := dict -}}
{{- if $values.auth.allowAnonymous }}{{ $_ := set $auth "allow_anonymous" true }}{{ end -}}
{{- if include "ferrymq.passwordSecret" . }}{{ $_ := set $auth "password_file" "/etc/ferrymq/passwords" }}{{ end -}}
{{- $disk := dict "enabled" $values.persistence.enabled -}}
{{- if $values.persistence.enabled -}}
{{- $_ := set $disk "path" (include "ferrymq.database" .) -}}
{{- if not (dig "persistence" "max_size" "" $values.config) }}{{ $_ := set $disk "max_size" (printf "%sMiB" (include "ferrymq.maxSizeMiB" .)) }}{{ end -}}
{{- if not (dig "persistence" "wal_limit" "" $values.config) }}{{ $_ := set $disk "wal_limit" (printf "%dMiB" (div (include "ferrymq.walLimit" . | int64) 1048576)) }}{{ end -}}
{{- if $values.litestream.enabled }}{{ $_ := set $disk "checkpoints" "external" }}{{ end -}}
{{- end -}}
{{- dict "listeners" (include "ferrymq.config.listeners" . | fromJson) "http" $http "auth" $auth "persistence" $disk | toJson -}}
{{- end -}}

{{- define "ferrymq.database" -}}
{{ printf "%s/ferrymq.db" (.Values.persistence.mountPath | trimSuffix "/") }}
{{- end -}}

{{/* ferrymq.toml */}}
{{- define "ferrymq.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- range $table, $keys := include "ferrymq.config.own" . | fromJson -}}
{{- $merged := default dict (get $config $table) -}}
{{- range $key, $value := $keys }}{{ $_ := set $merged $key $value }}{{ end -}}
{{- $_ := set $config $table $merged -}}
{{- end -}}
# Made by the chart from `config` and other values: change those.
{{ include "ferrymq.toml.table" (dict "path" "" "table" $config) | trim }}
{{ end -}}

{{/* The Secret with the password file, or nothing. */}}
{{- define "ferrymq.passwordSecret" -}}
{{- if .Values.auth.existingSecret }}{{ .Values.auth.existingSecret }}
{{- else if .Values.auth.passwords }}{{ include "ferrymq.fullname" . }}-passwords{{ end -}}
{{- end -}}

{{/* The Secret with the admin API's token, or nothing. */}}
{{- define "ferrymq.tokenSecret" -}}
{{- if .Values.http.existingSecret }}{{ .Values.http.existingSecret }}
{{- else if .Values.http.token }}{{ include "ferrymq.fullname" . }}-token{{ end -}}
{{- end -}}
