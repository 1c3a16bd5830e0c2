{{/* The models as a JSON array, each with the defaults that it does not set, its queue, and its Deployment's name. */}}
{{- define "leadtime.models" -}}
{{- $models := list -}}
{{- $seen := dict -}}
{{- range .Values.models -}}
{{- $model := mergeOverwrite (deepCopy $.Values.modelDefaults) (deepCopy .) -}}
{{- $_ := set $model "queue" ($model.queue | default $model.name) -}}
{{- $_ := set $model "deployment" (include "leadtime.name" (list $ $model.name)) -}}
{{- $_ := set $model "slots" (mul (int $model.concurrency) (max 1 (int $model.maxBatchSize) (int $model.maxConcurrency))) -}}
{{- range (list (print "name " $model.name) (print "queue " $model.queue)) -}}
{{- if hasKey $seen . }}{{ fail (printf "two models have the %s" .) }}{{ end -}}
{{- $_ := set $seen . true -}}
{{- end -}}
{{- if gt (int $model.minReplicas) (int $model.maxReplicas) -}}
{{- fail (printf "the model %s has minReplicas above maxReplicas" $model.name) -}}
{{- end -}}
{{- if gt (int $model.guaranteed) (int $model.maxReplicas) -}}
{{- fail (printf "the model %s has guaranteed above maxReplicas" $model.name) -}}
{{- end -}}
{{- if gt (int $model.standby) (int $model.maxReplicas) -}}
{{- fail (printf "the model %s has standby above maxReplicas" $model.name) -}}
{{- end -}}
{{- if and (int $model.standby) (eq $model.scaling "streams") -}}
{{- fail (printf "the model %s has standby with scaling: streams, where no scaler keeps any" $model.name) -}}
{{- end -}}
{{- if le (int $model.terminationSeconds) 10 -}}
{{- fail (printf "the model %s has terminationSeconds of 10 or less, which is what a worker needs to hand its jobs back" $model.name) -}}
{{- end -}}
{{- $models = append $models $model -}}
{{- end -}}
{{- toJson $models -}}
{{- end }}

{{/* Those that the scaler decides for, as a JSON array. */}}
{{- define "leadtime.scaled-models" -}}
{{- $models := list -}}
{{- range (include "leadtime.models" . | fromJsonArray) -}}
{{- if ne .scaling "streams" }}{{ $models = append $models . }}{{ end -}}
{{- end -}}
{{- if and .Values.budget (not $models) }}{{ fail "budget: the scaler decides for no model, as each has scaling: streams" }}{{ end -}}
{{- range $resource, $_ := .Values.budget -}}
{{- $named := eq $resource "pods" -}}
{{- range $models }}{{ if or (hasKey (default dict .resources.limits) $resource) (hasKey (default dict .resources.requests) $resource) }}{{ $named = true }}{{ end }}{{ end -}}
{{- if not $named }}{{ fail (printf "budget: no model that the scaler decides for names %s in its resources" $resource) }}{{ end -}}
{{- end -}}
{{- toJson $models -}}
{{- end }}

{{/* Whether the scaler reads its models from a file; of one model without a budget its settings say all. */}}
{{- define "leadtime.has-models-file" -}}
{{- if or .Values.budget (gt (len (include "leadtime.scaled-models" . | fromJsonArray)) 1) }}true{{ end -}}
{{- end }}

{{/* "true" if a model is scaled in one of these ways. Takes a list: the root, and the ways. */}}
{{- define "leadtime.has-scaling" -}}
{{- $found := "" -}}
{{- $ways := rest . -}}
{{- range (include "leadtime.models" (first .) | fromJsonArray) -}}
{{- if has .scaling $ways }}{{ $found = "true" }}{{ end -}}
{{- end -}}
{{- $found -}}
{{- end }}
