{{/* The directory /etc/ferrymq: the configuration, and all files that it names. It is one
     volume, mounted as a whole. Kubernetes replaces all of it at once when an object changes,
     and the broker reads it again; it would never replace a file mounted with subPath. */}}

{{/* dict "root" $ "config" NAME ["copies" NAME: a Secret that stands in for those of this
     release] ["early" BOOL: certificates that are still to be issued may be missing]. */}}
{{- define "ferrymq.configVolume" -}}
- name: config
  projected:
    # Readable by the pod's group, which fsGroup sets.
    defaultMode: 0440
    sources:
      - configMap:
          name: {{ .config | quote }}
      {{- if include "ferrymq.passwordSecret" .root }}
      - secret:
          name: {{ .root.Values.auth.existingSecret | default .copies | default (include "ferrymq.passwordSecret" .root) | quote }}
          items:
            - key: {{ empty .root.Values.auth.existingSecret | ternary "passwords" .root.Values.auth.existingSecretKey | quote }}
              path: passwords
      {{- end }}
      {{- if include "ferrymq.tokenSecret" .root }}
      - secret:
          name: {{ .root.Values.http.existingSecret | default .copies | default (include "ferrymq.tokenSecret" .root) | quote }}
          items:
            - key: {{ empty .root.Values.http.existingSecret | ternary "token" .root.Values.http.existingSecretKey | quote }}
              path: token
      {{- end }}
      {{- range $key, $file := include "ferrymq.authFiles" .root | fromJson }}
      - {{ empty $file.from.secretName | ternary "configMap" "secret" }}:
          name: {{ $file.from.secretName | default $file.from.configMapName | quote }}
          items:
            - key: {{ $file.from.key | quote }}
              path: {{ $file.path | quote }}
      {{- end }}
      {{- range $name := include "ferrymq.bridges" .root | fromJsonArray }}
      {{- range include "ferrymq.bridgeFiles" (dict "root" $.root "name" $name) | fromJsonArray }}
      - {{ .kind }}:
          name: {{ .name | quote }}
          items:
            {{- range .items }}
            - key: {{ .key | quote }}
              path: {{ .path | quote }}
            {{- end }}
      {{- end }}
      {{- end }}
      {{- range $name := include "ferrymq.listeners" .root | fromJsonArray }}
      {{- $listener := include "ferrymq.listener" (dict "root" $.root "name" $name) | fromJson }}
      {{- if $listener.isTls }}
      {{- $tls := $listener.tls }}
      - secret:
          name: {{ $listener.secret | quote }}
          {{- if and $.early $tls.certManager.enabled }}
          optional: true
          {{- end }}
          items:
            - key: tls.crt
              path: "tls-{{ $name }}.crt"
            - key: tls.key
              path: "tls-{{ $name }}.key"
      {{- if $tls.caSecretName }}
      - secret:
          name: {{ $tls.caSecretName | quote }}
          items:
            - key: {{ $tls.caSecretKey | quote }}
              path: "tls-{{ $name }}.client-ca.crt"
      {{- end }}
      {{- if $tls.crlSecretName }}
      - secret:
          name: {{ $tls.crlSecretName | quote }}
          items:
            - key: {{ $tls.crlSecretKey | quote }}
              path: "tls-{{ $name }}.crl"
      {{- end }}
      {{- end }}
      {{- end }}
{{- end -}}
