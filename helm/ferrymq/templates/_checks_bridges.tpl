{{/* Values of bridges that contradict each other. The broker checks the rest of a bridge. */}}

{{- define "ferrymq.checks.bridges" -}}
{{- if hasKey .Values.config "bridges" }}{{ fail "config.bridges: use `bridges`, which the volume and the NetworkPolicy follow" }}{{ end -}}
{{- range $name := include "ferrymq.bridges" . | fromJsonArray -}}
{{- if not (and (regexMatch "^[a-z0-9_-]{1,64}$" $name) (not (contains "__" $name))) -}}
{{- fail (printf "bridges.%s: a bridge's name is made of a-z, 0-9, - and _, never two _ in a row, and has at most 64 characters" $name) -}}
{{- end -}}
{{- $bridge := include "ferrymq.bridge" (dict "root" $ "name" $name) | fromJson -}}
{{- if not (or $bridge.forward $bridge.subscribe) -}}
{{- fail (printf "bridges.%s: neither forward nor subscribe has a rule, so that nothing would pass: add one, such as forward: [{filter: \"site/#\"}]" $name) -}}
{{- end -}}
{{- include "ferrymq.checks.bridgeSecrets" (dict "name" $name "bridge" $bridge "given" (get $.Values.bridges $name)) -}}
{{- end -}}
{{- end -}}

{{/* dict "name" NAME "bridge" MAP with defaults "given" MAP without them. */}}
{{- define "ferrymq.checks.bridgeSecrets" -}}
{{- $credentials := .bridge.credentials -}}
{{- $ca := .bridge.tls.ca -}}
{{- if and .given.credentials (not $credentials.secretName) }}{{ fail (printf "bridges.%s.credentials needs secretName: the Secret with the password" .name) }}{{ end -}}
{{- if and $credentials.secretName (not (or $credentials.usernameKey $credentials.passwordKey)) }}{{ fail (printf "bridges.%s.credentials: nothing is taken from the Secret; name its keys in usernameKey and passwordKey" .name) }}{{ end -}}
{{- if and .bridge.username $credentials.usernameKey }}{{ fail (printf "bridges.%s.username and .credentials.usernameKey are both set: keep one" .name) }}{{ end -}}
{{- if and $ca.secretName $ca.configMapName }}{{ fail (printf "bridges.%s.tls.ca.secretName and .configMapName are both set: keep one" .name) }}{{ end -}}
{{- if and .given.tls (not (include "ferrymq.bridgeIsTls" .bridge)) -}}
{{- fail (printf "bridges.%s.tls: no address uses TLS: write addresses with mqtts:// or wss://, or remove it" .name) -}}
{{- end -}}
{{- end -}}
