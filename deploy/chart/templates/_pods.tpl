{{/* What restricted Pod Security asks of a pod. Takes the user's number. */}}
{{- define "leadtime.pod-security" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* What it asks of a container. */}}
{{- define "leadtime.container-security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Pods of a part are on different nodes, if there are any. Takes a list: the root, and the part. */}}
{{- define "leadtime.spread" -}}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "leadtime.selector" . | nindent 6 }}
{{- end }}

{{/* A map of settings as a list of variables. A large number is not written with an exponent. */}}
{{- define "leadtime.env" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ include "leadtime.text" $value | quote }}
{{- end }}
{{- end }}

{{- define "leadtime.text" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end }}

{{/* Where the server is. */}}
{{- define "leadtime.redis-env" -}}
- name: REDIS_URL
  valueFrom:
    secretKeyRef: {name: {{ include "leadtime.redis-secret" . }}, key: {{ .Values.redis.urlKey }}}
{{- end }}

{{/* The pod's own name and namespace. */}}
{{- define "leadtime.pod-env" -}}
- name: POD_NAME
  valueFrom:
    fieldRef: {fieldPath: metadata.name}
- name: POD_NAMESPACE
  valueFrom:
    fieldRef: {fieldPath: metadata.namespace}
{{- end }}

{{/* Pods that read a changed ConfigMap are replaced. */}}
{{- define "leadtime.settings-checksum" -}}
checksum/settings: {{ include "leadtime.settings" . | sha256sum }}
{{- end }}

{{/* Settings of all parts that are not secret. */}}
{{- define "leadtime.settings" -}}
LOG_LEVEL: {{ .Values.logLevel }}
{{- with .Values.objectStore.url }}
OBJECT_STORE: {{ . | quote }}
{{- end }}
{{- with .Values.tracing.endpoint }}
OTEL_EXPORTER_OTLP_ENDPOINT: {{ . | quote }}
{{- end }}
{{- range $name, $value := .Values.settings }}
{{ $name }}: {{ include "leadtime.text" $value | quote }}
{{- end }}
{{- end }}

{{- define "leadtime.settings-from" -}}
- configMapRef: {name: {{ include "leadtime.name" (list . "settings") }}}
{{- end }}

{{/* The object store's variables, for who reads and writes files. */}}
{{- define "leadtime.objects-from" -}}
{{- with .Values.objectStore.existingSecret }}
- secretRef: {name: {{ . }}}
{{- end }}
{{- end }}

{{/* What lets gateway and workers into the collector. */}}
{{- define "leadtime.tracing-from" -}}
{{- with .Values.tracing.existingSecret }}
- secretRef: {name: {{ . }}}
{{- end }}
{{- end }}
