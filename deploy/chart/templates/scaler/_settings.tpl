{{/* The scaler's variables for its one model. */}}
{{- define "leadtime.scaler-settings" -}}
- name: DEPLOYMENT
  value: {{ .deployment }}
- name: SCALER_MODE
  value: {{ ternary "direct" "keda" (eq .scaling "direct") }}
- name: CONCURRENCY
  value: {{ int .concurrency | quote }}
- name: MODEL_MAX_BATCH_SIZE
  value: {{ int .maxBatchSize | quote }}
- name: MODEL_MAX_CONCURRENCY
  value: {{ int .maxConcurrency | quote }}
- name: MIN_REPLICAS
  value: {{ int .minReplicas | quote }}
- name: MAX_REPLICAS # what the cluster may spend. More jobs wait.
  value: {{ int .maxReplicas | quote }}
- name: STANDBY_REPLICAS
  value: {{ int .standby | quote }}
- name: STANDBY_PRICE
  value: {{ .standbyPrice | quote }}
- name: OBJECTIVE_S
  value: {{ .objectiveSeconds | quote }}
- name: LATE_COST
  value: {{ .lateCost | quote }}
- name: SERVICE_GUESS_S
  value: {{ .serviceGuessSeconds | quote }}
- name: STARTUP_GUESS_S
  value: {{ .startupGuessSeconds | quote }}
{{- end }}

{{/* The file of the models that the scaler decides for, and of what they may take together. */}}
{{- define "leadtime.models-file" -}}
{{- with .Values.budget }}
budget:
  {{- toYaml . | nindent 2 }}
{{- end }}
models:
  {{- range (include "leadtime.scaled-models" . | fromJsonArray) }}
  - queue: {{ .queue | quote }}
    deployment: {{ .deployment }}
    scaling: {{ ternary "direct" "keda" (eq .scaling "direct") }}
    min_replicas: {{ int .minReplicas }}
    max_replicas: {{ int .maxReplicas }}
    standby: {{ int .standby }}
    standby_price: {{ .standbyPrice }}
    guaranteed: {{ max (int .guaranteed) (int .minReplicas) }}
    objective_s: {{ .objectiveSeconds }}
    late_cost: {{ .lateCost }}
    service_guess_s: {{ .serviceGuessSeconds }}
    startup_guess_s: {{ .startupGuessSeconds }}
    concurrency: {{ int .slots }}
    batch: {{ max 1 (int .maxBatchSize) }}
    {{- $takes := dict }}
    {{- range $name, $amount := merge (dict) (default dict .resources.requests) (default dict .resources.limits) }}
    {{- if hasKey (default dict $.Values.budget) $name }}{{ $_ := set $takes $name $amount }}{{ end }}
    {{- end }}
    {{- with $takes }}
    resources: {{ toJson . }}
    {{- end }}
  {{- end }}
{{- end }}
