{{/* Values of listeners that contradict each other. */}}

{{- define "ferrymq.checks.listeners" -}}
{{- range $name := include "ferrymq.listeners" . | fromJsonArray -}}
{{- $context := dict "root" $ "name" $name "listener" (include "ferrymq.listener" (dict "root" $ "name" $name) | fromJson) -}}
{{- include "ferrymq.checks.listenerConfig" $context -}}
{{- include "ferrymq.checks.tls" $context -}}
{{- include "ferrymq.checks.ways" $context -}}
{{- if and (ne $context.listener.proxyProtocol "off") (not $context.listener.trustedProxies) -}}
{{- fail (printf "listeners.%s.proxyProtocol needs trustedProxies: list the networks that the load balancer's connections come from, as CIDRs" $name) -}}
{{- end -}}
{{- if and $context.listener.trustedProxies (eq $context.listener.proxyProtocol "off") (not $context.listener.isWebSocket) -}}
{{- fail (printf "listeners.%s.trustedProxies: protocol %s has no X-Forwarded-For, so they could not name a client; set proxyProtocol, or remove it" $name $context.listener.protocol) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Keys that have values of their own. */}}
{{- define "ferrymq.checks.listenerConfig" -}}
{{- $values := dict "bind" "port and .protocol" "protocol" "port and .protocol" "mode" "" "tls" "tls" "websocket" "websocket" "proxy_protocol" "proxyProtocol" "trusted_proxies" "trustedProxies" "auth" "auth" -}}
{{- range $key := keys .listener.config | sortAlpha -}}
{{- if eq $key "mode" }}{{ fail (printf "listeners.%s.config.mode: the chart makes no Unix sockets; remove it" $.name) }}{{ end -}}
{{- if has $key (list "bind" "protocol") }}{{ fail (printf "listeners.%s.config.%s: set listeners.%s.port and .protocol instead, which the Services follow" $.name $key $.name) }}{{ end -}}
{{- if hasKey $values $key }}{{ fail (printf "listeners.%s.config.%s: set listeners.%s.%s instead" $.name $key $.name (get $values $key)) }}{{ end -}}
{{- end -}}
{{- end -}}

{{- define "ferrymq.checks.tls" -}}
{{- $name := .name -}}
{{- $tls := .listener.tls -}}
{{- $made := $tls.certManager.enabled -}}
{{- if not .listener.isTls -}}
{{- if or $tls.secretName $made $tls.caSecretName (ne $tls.clientAuth "off") -}}
{{- fail (printf "listeners.%s.tls: protocol %s has no TLS; write protocol: %s, or remove it" $name .listener.protocol (.listener.isWebSocket | ternary "wss" "mqtts")) -}}
{{- end -}}
{{- else -}}
{{- if not (or $tls.secretName $made) }}{{ fail (printf "listeners.%s.tls: protocol %s needs a certificate; name a Secret of type kubernetes.io/tls in secretName, or set certManager.enabled" $name .listener.protocol) }}{{ end -}}
{{- if and $made (not $tls.certManager.issuerRef.name) }}{{ fail (printf "listeners.%s.tls.certManager.issuerRef: name the issuer, as {name: ..., kind: ClusterIssuer}" $name) }}{{ end -}}
{{- if and (ne $tls.clientAuth "off") (not $tls.caSecretName) }}{{ fail (printf "listeners.%s.tls.clientAuth %s needs caSecretName: the Secret with the authorities that client certificates are issued by" $name $tls.clientAuth) }}{{ end -}}
{{- if and (eq $tls.clientAuth "off") (or $tls.caSecretName $tls.crlSecretName) }}{{ fail (printf "listeners.%s.tls: client certificates are not asked for; write clientAuth: required or optional, or remove caSecretName and crlSecretName" $name) }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* Ingress and routes. */}}
{{- define "ferrymq.checks.ways" -}}
{{- $name := .name -}}
{{- $listener := .listener -}}
{{- range $way := list "ingress" "httpRoute" -}}
{{- if and (get (get $listener $way) "enabled") (not $listener.isWebSocket) -}}
{{- fail (printf "listeners.%s.%s carries HTTP, and protocol %s is none; write protocol: ws, or use expose" $name $way $listener.protocol) -}}
{{- end -}}
{{- end -}}
{{- if and $listener.tlsRoute.enabled (not $listener.isTls) -}}
{{- fail (printf "listeners.%s.tlsRoute passes TLS on, and protocol %s has none; write protocol: mqtts, or use tcpRoute" $name $listener.protocol) -}}
{{- end -}}
{{- if and $listener.tlsRoute.enabled (not $listener.tlsRoute.hostnames) }}{{ fail (printf "listeners.%s.tlsRoute.hostnames: name at least one host, by which the Gateway finds the route" $name) }}{{ end -}}
{{- if and $listener.ingress.enabled (not $listener.ingress.hosts) }}{{ fail (printf "listeners.%s.ingress.hosts: name at least one host" $name) }}{{ end -}}
{{- range $route := list "tcpRoute" "tlsRoute" "httpRoute" -}}
{{- $values := get $listener $route -}}
{{- if and $values.enabled (not $values.parentRefs) }}{{ fail (printf "listeners.%s.%s.parentRefs: name the Gateway that carries the route" $name $route) }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* The listener that `helm test` connects to, or nothing: the one that it is told, or the
     first that Mosquitto's clients can use. */}}
{{- define "ferrymq.testListener" -}}
{{- $said := .Values.tests.messages.listener -}}
{{- $found := list -}}
{{- range $name := include "ferrymq.listeners" . | fromJsonArray -}}
{{- $listener := include "ferrymq.listener" (dict "root" $ "name" $name) | fromJson -}}
{{- if and (not $listener.isWebSocket) (eq $listener.proxyProtocol "off") }}{{ $found = append $found $name }}{{ end -}}
{{- end -}}
{{- if $said -}}
{{- if not (has $said $found) }}{{ fail (printf "tests.messages.listener: %q is no listener that speaks mqtt or mqtts without the PROXY protocol" $said) }}{{ end -}}
{{- $said -}}
{{- else -}}
{{- first (append $found "") -}}
{{- end -}}
{{- end -}}
