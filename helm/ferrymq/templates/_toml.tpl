{{/* TOML from values. Helm's own toToml writes whole numbers as floats (1024.0), since
     Helm reads every number as one; the broker would refuse them. */}}

{{/* A value on one line. */}}
{{- define "ferrymq.toml.value" -}}
{{- if kindIs "string" . -}}
{{- /* Every JSON string is a TOML string (but for one with DEL, which YAML has not). */ -}}
{{- toJson . -}}
{{- else if kindIs "bool" . -}}
{{- . -}}
{{- else if kindIs "float64" . -}}
{{- if eq (floor .) . }}{{ printf "%.0f" . }}{{ else }}{{ printf "%v" . }}{{ end -}}
{{- else if kindIs "slice" . -}}
{{- $has := dict }}{{ range . }}{{ $_ := set $has (kindOf .) true }}{{ end -}}
{{- if $has.map -}}
[
{{ range . }}  {{ include "ferrymq.toml.value" . }},
{{ end -}}
]
{{- else -}}
[{{- range $index, $item := . }}{{ if $index }}, {{ end }}{{ include "ferrymq.toml.value" $item }}{{ end -}}]
{{- end -}}
{{- else if kindIs "map" . -}}
{ {{- range $index, $key := keys . | sortAlpha }}{{ if $index }},{{ end }} {{ include "ferrymq.toml.key" $key }} = {{ include "ferrymq.toml.value" (get $ $key) }}{{ end }} }
{{- else -}}
{{- printf "%v" . -}}
{{- end -}}
{{- end -}}

{{- define "ferrymq.toml.key" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end -}}

{{/* A table with its name: dict "path" NAME "table" MAP. Keys come before tables, as
     TOML wants it; null means that the key is not given. */}}
{{- define "ferrymq.toml.table" -}}
{{- $table := .table -}}
{{- $path := .path -}}
{{- $keys := list }}{{ $tables := list -}}
{{- range $key := keys $table | sortAlpha -}}
{{- $value := get $table $key -}}
{{- if kindIs "map" $value }}{{ $tables = append $tables $key -}}
{{- else if not (kindIs "invalid" $value) }}{{ $keys = append $keys $key }}{{ end -}}
{{- end -}}
{{- if and $path $keys }}
[{{ $path }}]
{{ end -}}
{{- range $keys }}{{ include "ferrymq.toml.key" . }} = {{ include "ferrymq.toml.value" (get $table .) }}
{{ end -}}
{{- range $tables -}}
{{- $name := include "ferrymq.toml.key" . -}}
{{- include "ferrymq.toml.table" (dict "path" (empty $path | ternary $name (printf "%s.%s" $path $name)) "table" (get $table .)) -}}
{{- end -}}
{{- end -}}
