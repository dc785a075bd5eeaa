{{/* The spec of a claim, from a map with size, accessModes, storageClassName and, if
     it has them, selector and dataSource. "-" is no class at all. */}}
{{- define "ferrymq.claimSpec" -}}
accessModes:
  {{- toYaml .accessModes | nindent 2 }}
{{- with .storageClassName }}
storageClassName: {{ eq . "-" | ternary "" . | quote }}
{{- end }}
resources:
  requests:
    storage: {{ kindIs "float64" .size | ternary (printf "%.0f" .size) .size | quote }}
{{- with .selector }}
selector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .dataSource }}
dataSource:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
