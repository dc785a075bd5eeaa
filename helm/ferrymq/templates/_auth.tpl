{{/* [auth] and [acl], and the files that they name. */}}

{{/* Sets keys of a table whose values are not empty: dict "table" MAP "keys" MAP. */}}
{{- define "ferrymq.setKeys" -}}
{{- $table := .table -}}
{{- range $key, $value := .keys }}{{ if $value }}{{ $_ := set $table $key $value }}{{ end }}{{ end -}}
{{- end -}}

{{/* Files of [auth] and [acl], by the key of the configuration, as JSON:
     {"auth.jwt.jwks_file": {"value": "auth.jwt.jwks", "path": FILE, "from": MAP}}. */}}
{{- define "ferrymq.authFiles" -}}
{{- $jwt := .Values.auth.jwt -}}
{{- $http := .Values.auth.http -}}
{{- $files := dict
      "auth.jwt.secret_file" (dict "value" "auth.jwt.secret" "path" "jwt-secret" "from" $jwt.secret)
      "auth.jwt.key_file" (dict "value" "auth.jwt.publicKey" "path" "jwt-key.pem" "from" $jwt.publicKey)
      "auth.jwt.jwks_file" (dict "value" "auth.jwt.jwks" "path" "jwks.json" "from" $jwt.jwks)
      "auth.jwt.ca_file" (dict "value" "auth.jwt.ca" "path" "jwt-ca.crt" "from" $jwt.ca)
      "auth.http.ca_file" (dict "value" "auth.http.ca" "path" "http-ca.crt" "from" $http.ca)
      "auth.http.authorization_file" (dict "value" "auth.http.authorization" "path" "http-authorization" "from" $http.authorization)
      "auth.scram.file" (dict "value" "auth.scram" "path" "scram" "from" .Values.auth.scram)
      "acl.mosquitto_file" (dict "value" "acl.mosquittoFile" "path" "acl" "from" .Values.acl.mosquittoFile) -}}
{{- $used := dict -}}
{{- range $key, $file := $files -}}
{{- if or $file.from.secretName $file.from.configMapName }}{{ $_ := set $used $key $file }}{{ end -}}
{{- end -}}
{{- toJson $used -}}
{{- end -}}

{{/* [auth], as JSON. */}}
{{- define "ferrymq.config.auth" -}}
{{- $values := .Values.auth -}}
{{- $auth := dict -}}
{{- if $values.allowAnonymous }}{{ $_ := set $auth "allow_anonymous" true }}{{ end -}}
{{- if include "ferrymq.passwordSecret" . }}{{ $_ := set $auth "password_file" "/etc/ferrymq/passwords" }}{{ end -}}
{{- include "ferrymq.setKeys" (dict "table" $auth "keys" (dict "methods" $values.methods "require" $values.require)) -}}
{{- $certificate := dict }}{{ $jwt := dict }}{{ $http := dict -}}
{{- include "ferrymq.setKeys" (dict "table" $certificate "keys" (dict "username" $values.certificate.username)) -}}
{{- with $values.jwt -}}
{{- include "ferrymq.setKeys" (dict "table" $jwt "keys" (dict
      "jwks_url" .jwksUrl "jwks_refresh" .jwksRefresh "issuer" .issuer "audience" .audience "leeway" .leeway
      "username_claim" .usernameClaim "username_must_match" (eq (toString .usernameMustMatch) "false" | ternary "" .usernameMustMatch) "acl_claim" .aclClaim)) -}}
{{- if not .requireExpiry }}{{ $_ := set $jwt "require_expiry" false }}{{ end -}}
{{- end -}}
{{- with $values.http -}}
{{- include "ferrymq.setKeys" (dict "table" $http "keys" (dict "url" .url "timeout" .timeout "max_requests" .maxRequests "cache_time" .cacheTime "cache_size" .cacheSize)) -}}
{{- end -}}
{{- include "ferrymq.setKeys" (dict "table" $auth "keys" (dict "certificate" $certificate "jwt" $jwt "http" $http)) -}}
{{- include "ferrymq.setFiles" (dict "root" . "table" "auth" "into" $auth) -}}
{{- toJson $auth -}}
{{- end -}}

{{/* [acl], as JSON. */}}
{{- define "ferrymq.config.acl" -}}
{{- $acl := dict -}}
{{- include "ferrymq.setKeys" (dict "table" $acl "keys" (dict "rules" .Values.acl.rules "groups" .Values.acl.groups)) -}}
{{- include "ferrymq.setFiles" (dict "root" . "table" "acl" "into" $acl) -}}
{{- toJson $acl -}}
{{- end -}}

{{/* Sets the keys of files below a table: dict "root" $ "table" NAME "into" MAP. */}}
{{- define "ferrymq.setFiles" -}}
{{- $into := .into -}}
{{- $table := .table -}}
{{- range $key, $file := include "ferrymq.authFiles" .root | fromJson -}}
{{- $parts := splitList "." $key -}}
{{- if eq (first $parts) $table -}}
{{- $path := printf "/etc/ferrymq/%s" $file.path -}}
{{- if eq (len $parts) 2 }}{{ $_ := set $into (last $parts) $path -}}
{{- else -}}
{{- $inner := default dict (get $into (index $parts 1)) -}}
{{- $_ := set $inner (last $parts) $path -}}
{{- $_ := set $into (index $parts 1) $inner -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

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
