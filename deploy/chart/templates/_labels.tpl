{{/* By what a selector finds pods of a part. Takes a list: the root, and the part. */}}
{{- define "leadtime.selector" -}}
app.kubernetes.io/name: leadtime
app.kubernetes.io/instance: {{ (first .).Release.Name | quote }}
app.kubernetes.io/component: {{ last . }}
{{- end }}

{{/* The labels of an object. Takes the same. */}}
{{- define "leadtime.labels" -}}
{{ include "leadtime.selector" . }}
{{- with first . }}
app.kubernetes.io/part-of: leadtime
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}
{{- end }}

{{/* What a Prometheus without its operator looks for in a pod. Takes the port. */}}
{{- define "leadtime.scrape" -}}
prometheus.io/scrape: "true"
prometheus.io/port: {{ . | toString | quote }}
prometheus.io/path: /metrics
{{- end }}
