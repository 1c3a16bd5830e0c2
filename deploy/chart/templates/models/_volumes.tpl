{{/* A worker's volumes. Takes a list: the root, and the model. */}}
{{- define "leadtime.worker-volumes" -}}
{{- $root := first . -}}
{{- with last . -}}
- name: tmp # files of running jobs, too
  emptyDir: {sizeLimit: {{ .tmp }}}
- name: cache
  {{- if .cache.claim }}
  persistentVolumeClaim: {claimName: {{ .cache.claim | quote }}}
  {{- else }}
  emptyDir: {sizeLimit: {{ .cache.size }}}
  {{- end }}
{{- if .shm }}
- name: shm
  emptyDir: {medium: Memory, sizeLimit: {{ .shm }}}
{{- end }}
{{- if and .weights.claim .weights.image }}
{{- fail (printf "the model %s has its weights in a claim and in an image" .name) }}
{{- else if .weights.claim }}
- name: weights
  persistentVolumeClaim: {claimName: {{ .weights.claim | quote }}, readOnly: true}
{{- else if .weights.image }}
- name: weights
  image: {reference: {{ .weights.image | quote }}, pullPolicy: IfNotPresent}
{{- end }}
{{- with $root.Values.redis.filesSecret }}
- name: redis
  secret: {secretName: {{ . | quote }}}
{{- end }}
{{- with .volumes }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end -}}
{{- end }}
