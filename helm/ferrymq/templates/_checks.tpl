{{/* What the schema cannot say: values that contradict each other. Each message says
     what to write instead. */}}

{{- define "ferrymq.checks" -}}
{{- include "ferrymq.checks.names" . -}}
{{- include "ferrymq.checks.auth" . -}}
{{- include "ferrymq.checks.config" . -}}
{{- include "ferrymq.checks.ports" . -}}
{{- include "ferrymq.checks.listeners" . -}}
{{- include "ferrymq.checks.bridges" . -}}
{{- include "ferrymq.checks.volume" . -}}
{{- include "ferrymq.checks.rest" . -}}
{{- end -}}

{{/* Services take fewer names than releases and namespaces do. */}}
{{- define "ferrymq.checks.names" -}}
{{- $full := include "ferrymq.fullname" . -}}
{{- if not (regexMatch "^[a-z]([a-z0-9-]*[a-z0-9])?$" $full) -}}
{{- fail (printf "%q would be the Services' name, and is none: set fullnameOverride to a name of a-z, 0-9 and -, beginning with a letter" $full) -}}
{{- end -}}
{{- $name := include "ferrymq.name" . -}}
{{- if not (regexMatch "^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$" $name) -}}
{{- fail (printf "nameOverride %q is no value for a label: use letters, digits, -, _ and ." $name) -}}
{{- end -}}
{{- end -}}

{{- define "ferrymq.checks.auth" -}}
{{- $auth := .Values.auth -}}
{{- if and $auth.passwords $auth.existingSecret -}}
{{- fail "auth.passwords and auth.existingSecret are both set: keep one" -}}
{{- end -}}
{{- $files := include "ferrymq.authFiles" . | fromJson -}}
{{- range $key, $file := $files -}}
{{- if and $file.from.secretName $file.from.configMapName }}{{ fail (printf "%s.secretName and .configMapName are both set: keep one" $file.value) }}{{ end -}}
{{- end -}}
{{- $methods := or $auth.passwords $auth.existingSecret $auth.jwt.jwksUrl $auth.http.url -}}
{{- range $key := list "auth.jwt.secret_file" "auth.jwt.key_file" "auth.jwt.jwks_file" "auth.scram.file" }}{{ $methods = or $methods (hasKey $files $key) }}{{ end -}}
{{- range $name := include "ferrymq.listeners" . | fromJsonArray -}}
{{- $listener := include "ferrymq.listener" (dict "root" $ "name" $name) | fromJson -}}
{{- $own := $listener.auth.methods | default $auth.methods -}}
{{- $methods = or $methods $listener.auth.allowAnonymous (and (has "certificate" $own) (ne $listener.tls.clientAuth "off")) -}}
{{- end -}}
{{- if not (or $auth.allowAnonymous $methods) -}}
{{- fail "nobody could connect: set auth.passwords or auth.existingSecret (lines of user:hash, as `ferrymq passwd FILE USER` writes them), auth.jwt, auth.http, auth.scram or client certificates, or auth.allowAnonymous=true to let everybody in who reaches the port" -}}
{{- end -}}
{{- if and .Values.acl.rules (hasKey $files "acl.mosquitto_file") }}{{ fail "acl.rules and acl.mosquittoFile are both set: keep one" }}{{ end -}}
{{- if and .Values.http.token .Values.http.existingSecret -}}
{{- fail "http.token and http.existingSecret are both set: keep one" -}}
{{- end -}}
{{- end -}}

{{/* Keys of the configuration that other values decide. */}}
{{- define "ferrymq.checks.config" -}}
{{- if hasKey .Values.config "acl" }}{{ fail "config.acl: set acl.rules, acl.groups or acl.mosquittoFile instead" }}{{ end -}}
{{- if hasKey .Values.config "listeners" -}}
{{- fail "config.listeners: use `listeners`, which the Services follow; further keys of a listener go into listeners.NAME.config" -}}
{{- end -}}
{{- $owned := dict
      "http.bind" "http.port" "http.metrics_bind" "http.metricsPort" "http.token" "http.token or http.existingSecret, which keep it in a Secret"
      "http.token_file" "http.token or http.existingSecret" "http.console" "http.console"
      "auth.password_file" "auth.passwords or auth.existingSecret" "auth.allow_anonymous" "auth.allowAnonymous"
      "auth.methods" "auth.methods" "auth.require" "auth.require" "auth.certificate" "auth.certificate"
      "auth.jwt" "auth.jwt" "auth.http" "auth.http" "auth.scram" "auth.scram"
      "persistence.enabled" "persistence.enabled" "persistence.path" "persistence.mountPath" "persistence.checkpoints" "litestream.enabled, or FERRYMQ_PERSISTENCE__CHECKPOINTS in extraEnv" -}}
{{- range $key, $instead := $owned -}}
{{- $parts := splitList "." $key -}}
{{- $table := get $.Values.config (first $parts) -}}
{{- if and (kindIs "map" $table) (hasKey (default dict $table) (last $parts)) -}}
{{- fail (printf "config.%s: set %s instead" $key $instead) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "ferrymq.checks.ports" -}}
{{- $used := dict (toString .Values.http.port) "http.port" -}}
{{- with .Values.http.metricsPort -}}
{{- if hasKey $used (toString .) }}{{ fail "http.metricsPort is http.port: leave it null to have /metrics there" }}{{ end -}}
{{- $_ := set $used (toString .) "http.metricsPort" -}}
{{- end -}}
{{- if and .Values.litestream.enabled .Values.litestream.metricsPort -}}
{{- $port := toString .Values.litestream.metricsPort -}}
{{- if hasKey $used $port }}{{ fail (printf "litestream.metricsPort %s is taken by %s: they share the pod's address" $port (get $used $port)) }}{{ end -}}
{{- $_ := set $used $port "litestream.metricsPort" -}}
{{- end -}}
{{- range $name := include "ferrymq.listeners" . | fromJsonArray -}}
{{- $listener := get $.Values.listeners $name -}}
{{- if not $listener.port }}{{ fail (printf "listeners.%s.port is missing" $name) }}{{ end -}}
{{- if not (regexMatch "^[a-z]([a-z0-9-]{0,13}[a-z0-9])?$" $name) }}{{ fail (printf "listeners.%s: the name is a port's name too, so at most 15 of a-z, 0-9 and -, beginning with a letter" $name) }}{{ end -}}
{{- if has $name (list "http" "metrics" "headless" "litestream") }}{{ fail (printf "listeners.%s: this name is taken by the chart; choose another" $name) }}{{ end -}}
{{- $port := toString $listener.port -}}
{{- if hasKey $used $port }}{{ fail (printf "listeners.%s.port %s is taken by %s" $name $port (get $used $port)) }}{{ end -}}
{{- $_ := set $used $port (printf "listeners.%s" $name) -}}
{{- if and (dig "expose" "enabled" false $listener) (dig "expose" "loadBalancerClass" "" $listener) (semverCompare "<1.22.0-0" (include "ferrymq.kubeVersion" $)) -}}
{{- fail (printf "listeners.%s.expose.loadBalancerClass needs Kubernetes 1.22 or newer: leave it empty" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "ferrymq.checks.volume" -}}
{{- $disk := .Values.persistence -}}
{{- if and (eq .Values.workload.kind "Deployment") $disk.enabled (not $disk.existingClaim) -}}
{{- fail "workload.kind Deployment needs persistence.existingClaim (or persistence.enabled=false): only a StatefulSet makes claims" -}}
{{- end -}}
{{- if $disk.enabled -}}
{{- include "ferrymq.checks.quantity" (dict "key" "persistence.size" "size" $disk.size) -}}
{{- include "ferrymq.checks.maxSize" . -}}
{{- end -}}
{{- if .Values.backup.enabled -}}
{{- include "ferrymq.checks.quantity" (dict "key" "backup.claim.size" "size" .Values.backup.claim.size) -}}
{{- if .Values.runtimeClassName -}}
{{- fail "backup.enabled and runtimeClassName: in a sandbox of its own (gVisor, Kata) a second pod does not see the broker's locks on the database, and could harm it; use litestream, or POST /api/v1/database/backup" -}}
{{- end -}}
{{- end -}}
{{- $shared := and $disk.enabled (has "ReadWriteOncePod" $disk.accessModes) -}}
{{- range $what, $on := dict "backup" .Values.backup.enabled "tests.drill" .Values.tests.drill.enabled -}}
{{- if and $on (not $disk.enabled) }}{{ fail (printf "%s.enabled needs persistence.enabled: there is no volume" $what) }}{{ end -}}
{{- if and $on $shared }}{{ fail (printf "%s.enabled needs an access mode that lets a second pod on the same node mount the volume: use ReadWriteOnce instead of ReadWriteOncePod" $what) }}{{ end -}}
{{- end -}}
{{- $old := semverCompare "<1.27.0-0" (include "ferrymq.kubeVersion" .) -}}
{{- if and $old (or (eq $disk.retentionPolicy.whenDeleted "Delete") (eq $disk.retentionPolicy.whenScaled "Delete")) -}}
{{- fail "persistence.retentionPolicy: Delete needs Kubernetes 1.27 or newer; delete the claim by hand" -}}
{{- end -}}
{{- if .Values.litestream.enabled -}}
{{- if not $disk.enabled }}{{ fail "litestream.enabled needs persistence.enabled: there is no database" }}{{ end -}}
{{- if not .Values.litestream.replica }}{{ fail "litestream.replica: say where the replica is, as {type: s3, bucket: ..., path: ...}" }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* A limit beyond the claim would never be reached: the volume would be full first. */}}
{{- define "ferrymq.checks.maxSize" -}}
{{- with dig "persistence" "max_size" "" .Values.config -}}
{{- $claim := include "ferrymq.bytes" (dict "key" "persistence.size" "size" $.Values.persistence.size) | int64 -}}
{{- $most := include "ferrymq.bytes" (dict "key" "config.persistence.max_size" "size" .) | int64 -}}
{{- $wal := include "ferrymq.walLimit" $ | int64 -}}
{{- if gt (add $most $wal) $claim -}}
{{- fail (printf "config.persistence.max_size %v and %v MiB of write-ahead log are more than persistence.size %v: the volume would be full before the broker refuses work; leave max_size out, and it follows from the size" . (div $wal 1048576) $.Values.persistence.size) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "ferrymq.checks.rest" -}}
{{- with .Values.image.digest }}{{ if not (regexMatch "^sha256:[0-9a-f]{64}$" .) }}{{ fail (printf "image.digest %q: write sha256: and 64 hexadecimal digits" .) }}{{ end }}{{ end -}}
{{- with .Values.http.token }}{{ if lt (len .) 16 }}{{ fail "http.token: the broker wants at least 16 characters" }}{{ end }}{{ end -}}
{{- $stop := dig "runtime" "shutdown_timeout" "10s" .Values.config -}}
{{- if ge (include "ferrymq.seconds" $stop | int) (int .Values.terminationGracePeriodSeconds) -}}
{{- fail (printf "terminationGracePeriodSeconds %v is not longer than config.runtime.shutdown_timeout %v: the broker would be killed while it stops" .Values.terminationGracePeriodSeconds $stop) -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled .Values.metrics.podMonitor.enabled -}}
{{- fail "metrics.serviceMonitor and metrics.podMonitor are both enabled: everything would be scraped twice; keep one" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) }}{{ fail "ingress.hosts: name at least one host" }}{{ end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}{{ fail "httpRoute.parentRefs: name the Gateway that carries the route" }}{{ end -}}
{{- if and .Values.backup.timeZone (semverCompare "<1.25.0-0" (include "ferrymq.kubeVersion" .)) -}}
{{- fail "backup.timeZone needs Kubernetes 1.25 or newer: leave it empty, and write the schedule in the cluster's time" -}}
{{- end -}}
{{- end -}}
