{{/* Variables whose value another member of the values says: `env` and `settings` may not. */}}
{{- define "leadtime.said-elsewhere" -}}
REDIS_URL: redis.existingSecret
QUEUE_NAME: a model's queue
QUEUES: models
CONCURRENCY: a model's concurrency
MODEL_MAX_BATCH_SIZE: a model's maxBatchSize
MODEL_MAX_CONCURRENCY: a model's maxConcurrency
MODEL_LOAD_TIMEOUT_S: a model's loadTimeoutSeconds
GRACE_S: a model's terminationSeconds
TERMINATION_S: a model's terminationSeconds
MIN_REPLICAS: a model's minReplicas
MAX_REPLICAS: a model's maxReplicas
STANDBY_REPLICAS: a model's standby
STANDBY_PRICE: a model's standbyPrice
OBJECTIVE_S: a model's objectiveSeconds
LATE_COST: a model's lateCost
SERVICE_GUESS_S: a model's serviceGuessSeconds
STARTUP_GUESS_S: a model's startupGuessSeconds
SCALER_MODE: a model's scaling
ACTUATION_S: scaler.actuationSeconds
METRICS_PORT: gateway.metricsPort
{{- range list "PORT" "PROBE_PORT" "SCALER_PORT" "POD_NAME" "POD_NAMESPACE" "LEASE_NAME" "DEPLOYMENT" "MODELS_FILE" }}
{{ . }}: the chart
{{- end }}
{{- end }}

{{/* Fails if a map of settings has one of these. Takes a list: the map's name, and the map. */}}
{{- define "leadtime.check-settings" -}}
{{- $name := first . -}}
{{- $elsewhere := include "leadtime.said-elsewhere" . | fromYaml -}}
{{- range $variable, $_ := last . -}}
{{- with get $elsewhere $variable }}{{ fail (printf "%s has %s, which is said by %s" $name $variable .) }}{{ end -}}
{{- end -}}
{{- end }}

{{/* A map of settings as a list of variables. Takes the same. */}}
{{- define "leadtime.env" -}}
{{- include "leadtime.check-settings" . -}}
{{- range $name, $value := last . }}
- name: {{ $name }}
  value: {{ include "leadtime.text" $value | quote }}
{{- end }}
{{- end }}

{{/* A setting as text. A large whole number is not written with an exponent. */}}
{{- define "leadtime.text" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end }}
