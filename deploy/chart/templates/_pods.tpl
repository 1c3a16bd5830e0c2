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

{{/* Where the server is. */}}
{{- define "leadtime.redis-env" -}}
- name: REDIS_URL
  valueFrom:
    secretKeyRef: {name: {{ include "leadtime.redis-secret" . | quote }}, key: {{ .Values.redis.urlKey | quote }}}
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
{{- include "leadtime.check-settings" (list "settings" .Values.settings) -}}
{{- $settings := dict "LOG_LEVEL" .Values.logLevel -}}
{{- with .Values.objectStore.url }}{{ $_ := set $settings "OBJECT_STORE" . }}{{ end -}}
{{- with .Values.tracing.endpoint }}{{ $_ := set $settings "OTEL_EXPORTER_OTLP_ENDPOINT" . }}{{ end -}}
{{- range $name, $value := mergeOverwrite $settings .Values.settings }}
{{ $name }}: {{ include "leadtime.text" $value | quote }}
{{- end }}
{{- end }}

{{- define "leadtime.settings-from" -}}
- configMapRef: {name: {{ include "leadtime.name" (list . "settings") }}}
{{- end }}

{{/* The object store's variables, for who reads and writes files. */}}
{{- define "leadtime.objects-from" -}}
{{- with .Values.objectStore.existingSecret }}
- secretRef: {name: {{ . | quote }}}
{{- end }}
{{- end }}

{{/* What lets gateway and workers into the collector. */}}
{{- define "leadtime.tracing-from" -}}
{{- with .Values.tracing.existingSecret }}
- secretRef: {name: {{ . | quote }}}
{{- end }}
{{- end }}
