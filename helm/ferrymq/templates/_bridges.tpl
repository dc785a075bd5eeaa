{{/* [bridges.*]: connections to other brokers, and what of them comes from Kubernetes. */}}

{{/* Names of the bridges, in order, as JSON. One that is null is none. */}}
{{- define "ferrymq.bridges" -}}
{{- $names := list -}}
{{- range $name := keys .Values.bridges | sortAlpha -}}
{{- if get $.Values.bridges $name }}{{ $names = append $names $name }}{{ end -}}
{{- end -}}
{{- toJson $names -}}
{{- end -}}

{{/* A bridge and its defaults, as JSON: dict "root" $ "name" NAME. YAML reads `5.0` as a
     number: it is text again here. */}}
{{- define "ferrymq.bridge" -}}
{{- $defaults := dict
      "credentials" (dict "secretName" "" "usernameKey" "" "passwordKey" "password")
      "tls" (dict "secretName" "" "ca" (dict "secretName" "" "configMapName" "" "key" "ca.crt"))
      "egressTo" list -}}
{{- $bridge := mergeOverwrite $defaults (deepCopy (get .root.Values.bridges .name)) -}}
{{- with $bridge.version }}{{ $_ := set $bridge "version" (eq (toString .) "5" | ternary "5.0" .) }}{{ end -}}
{{- $bridge | toJson -}}
{{- end -}}

{{/* Not empty if one of its addresses has TLS, or has none: of a bridge. */}}
{{- define "ferrymq.bridgeIsTls" -}}
{{- range .addresses }}{{ if regexMatch "^(mqtts|wss)://" . }}true{{ end }}{{ end -}}
{{- end -}}
{{- define "ferrymq.bridgeIsPlain" -}}
{{- range .addresses }}{{ if regexMatch "^(mqtt|ws)://" . }}true{{ end }}{{ end -}}
{{- end -}}

{{/* Its files in the volume of the configuration, as a list in JSON:
     [{"kind": "secret" or "configMap", "name": OBJECT, "items": [{"key": KEY, "path": FILE}]}]:
     dict "root" $ "name" NAME. No listener's file begins with bridge-. */}}
{{- define "ferrymq.bridgeFiles" -}}
{{- $bridge := include "ferrymq.bridge" . | fromJson -}}
{{- $file := printf "bridge-%s" .name -}}
{{- $files := list -}}
{{- with $bridge.credentials -}}
{{- if and .secretName .passwordKey -}}
{{- $files = append $files (dict "kind" "secret" "name" .secretName "items" (list (dict "key" .passwordKey "path" (printf "%s.password" $file)))) -}}
{{- end -}}
{{- end -}}
{{- with $bridge.tls.secretName -}}
{{- $files = append $files (dict "kind" "secret" "name" . "items" (list (dict "key" "tls.crt" "path" (printf "%s.crt" $file)) (dict "key" "tls.key" "path" (printf "%s.key" $file)))) -}}
{{- end -}}
{{- with $bridge.tls.ca -}}
{{- if or .secretName .configMapName -}}
{{- $files = append $files (dict "kind" (empty .secretName | ternary "configMap" "secret") "name" (.secretName | default .configMapName) "items" (list (dict "key" .key "path" (printf "%s.ca.crt" $file)))) -}}
{{- end -}}
{{- end -}}
{{- toJson $files -}}
{{- end -}}

{{/* Its table [bridges.NAME], as JSON: dict "root" $ "name" NAME. */}}
{{- define "ferrymq.bridgeTable" -}}
{{- $bridge := include "ferrymq.bridge" . | fromJson -}}
{{- $file := printf "/etc/ferrymq/bridge-%s" .name -}}
{{- $table := omit $bridge "credentials" "tls" "egressTo" -}}
{{- if and $bridge.credentials.secretName $bridge.credentials.passwordKey }}{{ $_ := set $table "password_file" (printf "%s.password" $file) }}{{ end -}}
{{- $tls := omit $bridge.tls "secretName" "ca" -}}
{{- if $bridge.tls.secretName -}}
{{- $_ := set $tls "certificate_file" (printf "%s.crt" $file) -}}
{{- $_ := set $tls "key_file" (printf "%s.key" $file) -}}
{{- end -}}
{{- if or $bridge.tls.ca.secretName $bridge.tls.ca.configMapName }}{{ $_ := set $tls "ca_file" (printf "%s.ca.crt" $file) }}{{ end -}}
{{- with $tls }}{{ $_ := set $table "tls" . }}{{ end -}}
{{- toJson $table -}}
{{- end -}}

{{/* [bridges.*], as JSON. */}}
{{- define "ferrymq.config.bridges" -}}
{{- $tables := dict -}}
{{- range $name := include "ferrymq.bridges" . | fromJsonArray -}}
{{- $_ := set $tables $name (include "ferrymq.bridgeTable" (dict "root" $ "name" $name) | fromJson) -}}
{{- end -}}
{{- toJson $tables -}}
{{- end -}}

{{/* Environment: user names from Secrets, since there is no file for them. They are in quotes,
     so that the broker takes one of digits as text. */}}
{{- define "ferrymq.bridgeEnv" -}}
{{- range $name := include "ferrymq.bridges" . | fromJsonArray -}}
{{- $credentials := (include "ferrymq.bridge" (dict "root" $ "name" $name) | fromJson).credentials -}}
{{- if and $credentials.secretName $credentials.usernameKey }}
- name: BRIDGE_{{ upper $name }}_USERNAME
  valueFrom:
    secretKeyRef:
      name: {{ $credentials.secretName | quote }}
      key: {{ $credentials.usernameKey | quote }}
- name: FERRYMQ_BRIDGES__{{ upper $name }}__USERNAME
  value: '"$(BRIDGE_{{ upper $name }}_USERNAME)"'
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Rules of the NetworkPolicy: the ports of each bridge's addresses. A NetworkPolicy cannot
     name hosts. */}}
{{- define "ferrymq.bridgeEgress" -}}
{{- range $name := include "ferrymq.bridges" . | fromJsonArray -}}
{{- $bridge := include "ferrymq.bridge" (dict "root" $ "name" $name) | fromJson -}}
{{- $ports := dict -}}
{{- range $bridge.addresses -}}
{{- $standard := get (dict "mqtt" "1883" "mqtts" "8883" "ws" "80" "wss" "443") (splitList ":" . | first) -}}
{{- $authority := regexReplaceAll "^[a-z]+://|/.*$" . "" -}}
{{- $_ := set $ports (regexFind ":[0-9]+$" (regexReplaceAll "^\\[.*\\]" $authority "") | trimPrefix ":" | default $standard) true -}}
{{- end }}
- ports:
    {{- range keys $ports | sortAlpha }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
  {{- with $bridge.egressTo }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
{{- end -}}
