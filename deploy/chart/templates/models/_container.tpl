{{/* A worker's container but for its name. Takes a list: the root, and the model. */}}
{{- define "leadtime.worker-container" -}}
{{- $root := first . -}}
{{- with last . -}}
{{- $env := default dict .env -}}
image: {{ include "leadtime.image" (list $root .image) }}
imagePullPolicy: {{ .image.pullPolicy | default $root.Values.image.pullPolicy }}
command: [python, -m, workers]
envFrom:
  {{- include "leadtime.settings-from" $root | nindent 2 }}
  {{- include "leadtime.objects-from" $root | nindent 2 }}
  {{- include "leadtime.tracing-from" $root | nindent 2 }}
  {{- with .envFrom }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
env:
  - name: QUEUE_NAME
    value: {{ .queue | quote }}
  - name: CONCURRENCY
    value: {{ int .concurrency | quote }}
  {{- if .maxBatchSize }}
  - name: MODEL_MAX_BATCH_SIZE
    value: {{ int .maxBatchSize | quote }}
  {{- end }}
  {{- if .maxConcurrency }}
  - name: MODEL_MAX_CONCURRENCY
    value: {{ int .maxConcurrency | quote }}
  {{- end }}
  - name: MODEL_LOAD_TIMEOUT_S
    value: {{ int .loadTimeoutSeconds | quote }}
  - name: PROBE_PORT
    value: "8003"
  - name: TERMINATION_S
    value: {{ int .terminationSeconds | quote }}
  {{- range $name, $value := dict "MODEL" .model "HF_HOME" (print .cache.path "/huggingface") "XDG_CACHE_HOME" .cache.path }}
  {{- if and $value (not (hasKey $env $name)) }}
  - name: {{ $name }}
    value: {{ $value | quote }}
  {{- end }}
  {{- end }}
  {{- include "leadtime.pod-env" . | nindent 2 }}
  {{- include "leadtime.redis-env" $root | nindent 2 }}
  {{- include "leadtime.env" (list (printf "the model %s" .name) $env) | nindent 2 }}
ports:
  - {name: probes, containerPort: 8003}
startupProbe: # the process answers; the model loads in a process of its own, beside this
  httpGet: {path: /healthz, port: probes}
  periodSeconds: 1
  timeoutSeconds: 3
  failureThreshold: 60
readinessProbe: # its model is loaded and it claims jobs
  httpGet: {path: /readyz, port: probes}
  periodSeconds: 2
  timeoutSeconds: 3
  failureThreshold: 2
livenessProbe: # the event loop and the heartbeat go on; a model that is busy has no part in that
  httpGet: {path: /healthz, port: probes}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
resources:
  {{- toYaml .resources | nindent 2 }}
securityContext:
  {{- include "leadtime.container-security" . | nindent 2 }}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  - {name: cache, mountPath: {{ .cache.path | quote }}}
  {{- if .shm }}
  - {name: shm, mountPath: /dev/shm}
  {{- end }}
  {{- if or .weights.claim .weights.image }}
  - {name: weights, mountPath: {{ .weights.path | quote }}, readOnly: true}
  {{- end }}
  {{- if $root.Values.redis.filesSecret }}
  - {name: redis, mountPath: /etc/leadtime/redis, readOnly: true}
  {{- end }}
  {{- with .volumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
{{- end }}
