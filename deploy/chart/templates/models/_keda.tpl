{{/* The type of KEDA's triggers, by the kind of server. */}}
{{- define "leadtime.keda-trigger" -}}
{{- if not .Values.valkey.enabled -}}
{{- get (dict "server" "redis-streams" "sentinel" "redis-sentinel-streams" "cluster" "redis-cluster-streams") .Values.redis.keda.kind -}}
{{- else -}}
redis-streams
{{- end -}}
{{- end }}

{{/* Where KEDA finds the server: it knows nothing of REDIS_URL. */}}
{{- define "leadtime.keda-server" -}}
{{- if .Values.valkey.enabled -}}
address: {{ include "leadtime.name" (list . "valkey") }}.{{ .Release.Namespace }}.svc:6379
{{- else -}}
{{- with .Values.redis.keda -}}
{{- $addresses := .addresses | required "redis.keda.addresses says where KEDA reads the streams of models with scaling: streams" -}}
{{- if eq .kind "server" -}}
address: {{ $addresses | quote }}
{{- else -}}
addresses: {{ $addresses | quote }}
{{- end }}
{{- if eq .kind "sentinel" }}
sentinelMaster: {{ .sentinelMaster | required "redis.keda.sentinelMaster is the name by which Sentinel knows the server" }}
{{- end }}
{{- if ne .kind "cluster" }}
databaseIndex: {{ int .database | quote }}
{{- end }}
{{- if .tls }}
enableTLS: "true"
{{- end }}
{{- if .unsafeTls }}
unsafeSsl: "true"
{{- end }}
{{- end -}}
{{- end -}}
{{- end }}
