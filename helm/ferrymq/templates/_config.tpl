{{/* The broker's configuration: what other values decide, and `config` on top. */}}

{{/* ADDRESS:PORT, with brackets around an IPv6 address: dict "root" $ "port" NUMBER. */}}
{{- define "ferrymq.bind" -}}
{{- $address := .root.Values.bindAddress -}}
{{- if contains ":" $address }}[{{ $address }}]{{ else }}{{ $address }}{{ end }}:{{ int .port -}}
{{- end -}}

{{/* [listeners.*], as JSON. The broker has a listener `tcp` on loopback unless told. */}}
{{- define "ferrymq.config.listeners" -}}
{{- $tables := dict "tcp" (dict "bind" "off") -}}
{{- range $name := include "ferrymq.listeners" . | fromJsonArray -}}
{{- $_ := set $tables $name (include "ferrymq.listenerTable" (dict "root" $ "name" $name) | fromJson) -}}
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
{{- $disk := dict "enabled" $values.persistence.enabled -}}
{{- if $values.persistence.enabled -}}
{{- $_ := set $disk "path" (include "ferrymq.database" .) -}}
{{- if not (dig "persistence" "max_size" "" $values.config) }}{{ $_ := set $disk "max_size" (printf "%sMiB" (include "ferrymq.maxSizeMiB" .)) }}{{ end -}}
{{- if not (dig "persistence" "wal_limit" "" $values.config) }}{{ $_ := set $disk "wal_limit" (printf "%dMiB" (div (include "ferrymq.walLimit" . | int64) 1048576)) }}{{ end -}}
{{- if $values.litestream.enabled }}{{ $_ := set $disk "checkpoints" "external" }}{{ end -}}
{{- end -}}
{{- $tables := dict "listeners" (include "ferrymq.config.listeners" . | fromJson) "http" $http "auth" (include "ferrymq.config.auth" . | fromJson) "persistence" $disk -}}
{{- with include "ferrymq.config.acl" . | fromJson }}{{ $_ := set $tables "acl" . }}{{ end -}}
{{- with include "ferrymq.config.bridges" . | fromJson }}{{ $_ := set $tables "bridges" . }}{{ end -}}
{{- toJson $tables -}}
{{- end -}}

{{- define "ferrymq.database" -}}
{{ printf "%s/ferrymq.db" (.Values.persistence.mountPath | trimSuffix "/") }}
{{- end -}}

{{/* All tables, as JSON. */}}
{{- define "ferrymq.config.tables" -}}
{{- $config := deepCopy .Values.config -}}
{{- range $table, $keys := include "ferrymq.config.own" . | fromJson -}}
{{- $merged := default dict (get $config $table) -}}
{{- range $key, $value := $keys }}{{ $_ := set $merged $key $value }}{{ end -}}
{{- $_ := set $config $table $merged -}}
{{- end -}}
{{- toJson $config -}}
{{- end -}}

{{/* ferrymq.toml */}}
{{- define "ferrymq.config" -}}
# Made by the chart from `config` and other values: change those.
{{ include "ferrymq.toml.table" (dict "path" "" "table" (include "ferrymq.config.tables" . | fromJson)) | trim }}
{{ end -}}

{{/* A sum of what a running broker does not take over when it reads its configuration again
     (docs/admin-api.md, "Reload"): another sum restarts the pod. A file that is named for the
     first time does so too, since it changes the volume. */}}
{{- define "ferrymq.config.sum" -}}
{{- $config := omit (include "ferrymq.config.tables" . | fromJson) "auth" "acl" "bridges" "bans" -}}
{{- $reloaded := dict
      "limits" (list "max_connections_per_address" "connection_rate_per_address" "publish_rate" "publish_bytes_rate")
      "mqtt" (list "connect_timeout" "max_keep_alive")
      "session" (list "max_sessions" "max_subscriptions")
      "telemetry" (list "level") -}}
{{- range $table, $keys := $reloaded -}}
{{- with get $config $table }}{{ $left := . }}{{ range $keys }}{{ $left = omit $left . }}{{ end }}{{ $_ := set $config $table $left }}{{ end -}}
{{- if not (get $config $table) }}{{ $config = omit $config $table }}{{ end -}}
{{- end -}}
{{- $listeners := dict -}}
{{- range $name, $table := $config.listeners }}{{ $_ := set $listeners $name (omit $table "auth" "tls") }}{{ end -}}
{{- $_ := set $config "listeners" $listeners -}}
{{- $config | toJson | sha256sum -}}
{{- end -}}
