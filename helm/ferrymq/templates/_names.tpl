{{/* Names, labels and images: what every object shares. */}}

{{- define "ferrymq.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 45 characters: a CronJob's name, which ends in -backup, may have 52. A longer
     one is cut, and ends in a hash of the whole: two that begin alike stay two. */}}
{{- define "ferrymq.fullname" -}}
{{- $name := include "ferrymq.name" . -}}
{{- $both := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- $full := default $both .Values.fullnameOverride -}}
{{- if gt (len $full) 45 -}}
{{- printf "%s-%s" (regexReplaceAll "[-.]+$" (trunc 38 $full) "") ($full | sha256sum | trunc 6) -}}
{{- else -}}
{{- $full -}}
{{- end -}}
{{- end -}}

{{- define "ferrymq.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{- define "ferrymq.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "ferrymq.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* What can never change in a release. `component` keeps the pods of backups and
     tests out of the Services. */}}
{{- define "ferrymq.selectorLabels" -}}
app.kubernetes.io/name: {{ include "ferrymq.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: broker
{{- end -}}

{{/* The broker's pod alone: one that somebody has made by scaling the StatefulSet has a
     volume of its own, and what one of them acknowledges never reaches clients of the other. */}}
{{- define "ferrymq.serviceSelector" -}}
{{ include "ferrymq.selectorLabels" . }}
{{- if eq .Values.workload.kind "StatefulSet" }}
statefulset.kubernetes.io/pod-name: "{{ include "ferrymq.fullname" . }}-0"
{{- end }}
{{- end -}}

{{/* Labels of an object: dict "root" $ "component" NAME ["labels" MAP]. */}}
{{- define "ferrymq.labels" -}}
{{- $labels := dict
      "app.kubernetes.io/name" (include "ferrymq.name" .root)
      "app.kubernetes.io/instance" .root.Release.Name
      "app.kubernetes.io/component" (default "broker" .component)
      "app.kubernetes.io/version" (.root.Chart.AppVersion | toString)
      "app.kubernetes.io/managed-by" .root.Release.Service
      "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63) -}}
{{- merge $labels (default dict .labels) .root.Values.commonLabels | toYaml -}}
{{- end -}}

{{/* The metadata of an object. Values that contradict each other are found here, so
     before anything else of the object is looked at:
     dict "root" $ "name" SUFFIX ["component" NAME] ["labels" MAP] ["annotations" MAP] ["namespace" NAME]. */}}
{{- define "ferrymq.metadata" -}}
{{- include "ferrymq.checks" .root -}}
name: "{{ include "ferrymq.fullname" .root }}{{ with .name }}-{{ . }}{{ end }}"
namespace: {{ default (include "ferrymq.namespace" .root) .namespace | quote }}
labels:
  {{- include "ferrymq.labels" . | nindent 2 }}
{{- with merge (dict) (default dict .annotations) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The name of an image: dict "image" MAP ["tag" DEFAULT]. */}}
{{- define "ferrymq.imageName" -}}
{{- with .image.registry }}{{ . }}/{{ end -}}
{{- .image.repository -}}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ default .tag .image.tag }}{{ end -}}
{{- end -}}

{{/* Image and pull policy of a container: the same dict. */}}
{{- define "ferrymq.image" -}}
image: {{ include "ferrymq.imageName" . | quote }}
imagePullPolicy: {{ .image.pullPolicy | quote }}
{{- end -}}

{{/* The cluster's version without what distributions append: 1.29, for comparisons. */}}
{{- define "ferrymq.kubeVersion" -}}
{{- regexFind "^v?[0-9]+\\.[0-9]+" .Capabilities.KubeVersion.Version | trimPrefix "v" -}}.0
{{- end -}}
