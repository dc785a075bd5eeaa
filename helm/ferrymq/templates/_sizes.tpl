{{/* Sizes: Kubernetes quantities and the broker's own, into bytes. */}}

{{/* "10Gi", "1.5T", "256MiB", "10MB" or a number: bytes, as digits.
     dict "key" NAME "size" VALUE. */}}
{{- define "ferrymq.bytes" -}}
{{- $text := .size | toString | trim -}}
{{- if kindIs "float64" .size }}{{ $text = printf "%.0f" .size }}{{ end -}}
{{- $number := regexFind "^[0-9]+(\\.[0-9]+)?" $text -}}
{{- $unit := $text | trimPrefix $number | trim | upper | trimSuffix "B" -}}
{{- $factors := dict "" 1 "K" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15
      "KI" 1024 "MI" 1048576 "GI" 1073741824 "TI" 1099511627776 "PI" 1125899906842624 "E" 1e18 "EI" 1152921504606846976 -}}
{{- if or (not $number) (not (hasKey $factors $unit)) -}}
{{- fail (printf "%s: %q is not a size: write it as 10Gi or 500Mi" .key $text) -}}
{{- end -}}
{{- mulf (float64 $number) (get $factors $unit) | printf "%.0f" -}}
{{- end -}}

{{/* Fails for what Kubernetes takes for no quantity, or for another one than it looks like
     (500m is half a byte): dict "key" NAME "size" VALUE. */}}
{{- define "ferrymq.checks.quantity" -}}
{{- if not (or (kindIs "float64" .size) (kindIs "int64" .size) (regexMatch "^[0-9]+(\\.[0-9]+)?([KMGTPE]i|[kMGTPE])?$" (toString .size))) -}}
{{- fail (printf "%s: %q is no size of a volume: write it as 10Gi or 500Mi" .key (toString .size)) -}}
{{- end -}}
{{- end -}}

{{/* Bytes of the write-ahead log: what config says, or an eighth of the claim, at
     least 32 MiB (which 4,000 pages of 8 KiB need) and at most the broker's 256. */}}
{{- define "ferrymq.walLimit" -}}
{{- $said := dig "persistence" "wal_limit" "" .Values.config -}}
{{- if $said -}}
{{- include "ferrymq.bytes" (dict "key" "config.persistence.wal_limit" "size" $said) -}}
{{- else -}}
{{- $claim := include "ferrymq.bytes" (dict "key" "persistence.size" "size" .Values.persistence.size) | int64 -}}
{{- max 33554432 (min 268435456 (div $claim 8)) -}}
{{- end -}}
{{- end -}}

{{/* MiB of the database: usablePercent of the claim, without the write-ahead log. */}}
{{- define "ferrymq.maxSizeMiB" -}}
{{- $claim := include "ferrymq.bytes" (dict "key" "persistence.size" "size" .Values.persistence.size) | int64 -}}
{{- $wal := include "ferrymq.walLimit" . | int64 -}}
{{- $usable := div (mul $claim (int64 .Values.persistence.usablePercent)) 100 -}}
{{- $mib := div (sub $usable $wal) 1048576 -}}
{{- if lt $mib 8 -}}
{{- fail (printf "persistence.size %v leaves no room for a database: %v%% of it has to hold %v MiB of write-ahead log and at least 8 MiB of database" .Values.persistence.size .Values.persistence.usablePercent (div $wal 1048576)) -}}
{{- end -}}
{{- $mib -}}
{{- end -}}

{{/* How often the startup probe may fail: a minute, and the claim read at 20 MiB/s. */}}
{{- define "ferrymq.startupFailures" -}}
{{- $seconds := 60 -}}
{{- if .Values.persistence.enabled -}}
{{- $seconds = add 60 (div (include "ferrymq.bytes" (dict "key" "persistence.size" "size" .Values.persistence.size) | int64) 20971520) -}}
{{- end -}}
{{- div (add $seconds .Values.startupProbe.periodSeconds -1) .Values.startupProbe.periodSeconds -}}
{{- end -}}

{{/* A time of the broker's in whole seconds, rounded up: "10s", "500ms", "2m", "1h". */}}
{{- define "ferrymq.seconds" -}}
{{- $text := . | toString -}}
{{- $number := regexFind "^[0-9]+" $text -}}
{{- $factor := get (dict "s" 1000 "ms" 1 "m" 60000 "h" 3600000 "d" 86400000) ($text | trimPrefix $number | trim) -}}
{{- if and $number $factor }}{{ div (add (mul (int64 $number) $factor) 999) 1000 }}{{ else }}0{{ end -}}
{{- end -}}
