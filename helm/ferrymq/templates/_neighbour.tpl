{{/* A pod beside the broker's: on the same node, where alone a ReadWriteOnce volume
     can be mounted a second time, and with the same tolerations. */}}
{{- define "ferrymq.besideBroker" -}}
affinity:
  podAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            {{- include "ferrymq.selectorLabels" . | nindent 12 }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
