{{/* A listener with all its keys, and what follows from them. */}}

{{/* Names of the listeners that are on, in order, as JSON. */}}
{{- define "ferrymq.listeners" -}}
{{- $names := list -}}
{{- range $name := keys .Values.listeners | sortAlpha -}}
{{- with get $.Values.listeners $name }}{{ if dig "enabled" true . }}{{ $names = append $names $name }}{{ end }}{{ end -}}
{{- end -}}
{{- toJson $names -}}
{{- end -}}

{{/* A listener and its defaults, as JSON: dict "root" $ "name" NAME. YAML reads `off` as
     false and `1.3` as a number: both are text again here. */}}
{{- define "ferrymq.listener" -}}
{{- $route := dict "enabled" false "annotations" dict "parentRefs" list -}}
{{- $defaults := dict
      "protocol" "mqtt" "config" dict "proxyProtocol" "off" "trustedProxies" list
      "tls" (dict "secretName" "" "clientAuth" "off" "caSecretName" "" "caSecretKey" "ca.crt" "crlSecretName" "" "crlSecretKey" "ca.crl" "expiredCrl" "" "minVersion" ""
                  "certManager" (dict "enabled" false "issuerRef" dict "dnsNames" list "duration" "" "renewBefore" ""))
      "websocket" (dict "path" "/mqtt" "allowedOrigins" list)
      "auth" (dict "methods" list "require" list)
      "expose" (dict "enabled" false "type" "LoadBalancer" "externalTrafficPolicy" "Local")
      "ingress" (dict "enabled" false "className" "" "annotations" dict "hosts" list "tls" list)
      "tcpRoute" $route "tlsRoute" (merge (dict "hostnames" list) $route) "httpRoute" (merge (dict "hostnames" list) $route) -}}
{{- $listener := mergeOverwrite (deepCopy $defaults) (deepCopy (get .root.Values.listeners .name)) -}}
{{- $tls := $listener.tls -}}
{{- $_ := set $tls "clientAuth" (eq (toString $tls.clientAuth) "false" | ternary "off" $tls.clientAuth) -}}
{{- $_ := set $tls "minVersion" (toString $tls.minVersion) -}}
{{- $_ := set $listener "proxyProtocol" (eq (toString $listener.proxyProtocol) "false" | ternary "off" $listener.proxyProtocol) -}}
{{- $_ := set $listener "isTls" (has $listener.protocol (list "mqtts" "wss")) -}}
{{- $_ := set $listener "isWebSocket" (has $listener.protocol (list "ws" "wss")) -}}
{{- if $listener.isTls -}}
{{- $_ := set $listener "secret" ($tls.secretName | default (printf "%s-%s-tls" (include "ferrymq.fullname" .root) .name)) -}}
{{- end -}}
{{- toJson $listener -}}
{{- end -}}

{{/* A protocol as Services name it: IANA's names, and those of Kubernetes for WebSocket. */}}
{{- define "ferrymq.appProtocol" -}}
{{- get (dict "mqtt" "mqtt" "mqtts" "secure-mqtt" "ws" "kubernetes.io/ws" "wss" "kubernetes.io/wss") . -}}
{{- end -}}

{{/* Its table [listeners.NAME], as JSON: dict "root" $ "name" NAME. A key that only newer
     brokers know is there only if it is used. */}}
{{- define "ferrymq.listenerTable" -}}
{{- $listener := include "ferrymq.listener" . | fromJson -}}
{{- $tls := $listener.tls -}}
{{- $file := printf "/etc/ferrymq/tls-%s" .name -}}
{{- $table := deepCopy $listener.config -}}
{{- $_ := set $table "protocol" $listener.protocol -}}
{{- $_ := set $table "bind" (include "ferrymq.bind" (dict "root" .root "port" $listener.port)) -}}
{{- if ne $listener.proxyProtocol "off" }}{{ $_ := set $table "proxy_protocol" $listener.proxyProtocol }}{{ end -}}
{{- with $listener.trustedProxies }}{{ $_ := set $table "trusted_proxies" . }}{{ end -}}
{{- if $listener.isTls -}}
{{- $keys := dict "certificate_file" (printf "%s.crt" $file) "key_file" (printf "%s.key" $file) -}}
{{- if ne $tls.clientAuth "off" }}{{ $_ := set $keys "client_auth" $tls.clientAuth }}{{ end -}}
{{- if $tls.caSecretName }}{{ $_ := set $keys "client_ca_file" (printf "%s.client-ca.crt" $file) }}{{ end -}}
{{- if $tls.crlSecretName }}{{ $_ := set $keys "crl_file" (printf "%s.crl" $file) }}{{ end -}}
{{- with $tls.expiredCrl }}{{ $_ := set $keys "expired_crl" . }}{{ end -}}
{{- with $tls.minVersion }}{{ $_ := set $keys "min_version" . }}{{ end -}}
{{- $_ := set $table "tls" $keys -}}
{{- end -}}
{{- if $listener.isWebSocket -}}
{{- $keys := dict "path" $listener.websocket.path -}}
{{- with $listener.websocket.allowedOrigins }}{{ $_ := set $keys "allowed_origins" . }}{{ end -}}
{{- $_ := set $table "websocket" $keys -}}
{{- end -}}
{{- $auth := dict -}}
{{- range $key := list "methods" "require" }}{{ with get $listener.auth $key }}{{ $_ := set $auth $key . }}{{ end }}{{ end -}}
{{- if kindIs "bool" $listener.auth.allowAnonymous }}{{ $_ := set $auth "allow_anonymous" $listener.auth.allowAnonymous }}{{ end -}}
{{- with $auth }}{{ $_ := set $table "auth" . }}{{ end -}}
{{- toJson $table -}}
{{- end -}}
