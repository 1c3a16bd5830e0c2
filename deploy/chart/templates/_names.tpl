{{/* What each object's name begins with: the release's, so that two releases have nothing in common. */}}
{{- define "leadtime.fullname" -}}
{{- $name := .Values.fullnameOverride | default .Release.Name -}}
{{- if not (regexMatch "^[a-z]([a-z0-9-]*[a-z0-9])?$" $name) -}}
{{- fail (printf "Services can't be named after %s: the release's name has to begin with a letter, and have letters, digits and - only" $name) -}}
{{- end -}}
{{- $name -}}
{{- end }}

{{/* The name of one of the release's objects. Takes a list: the root, and the object's part. */}}
{{- define "leadtime.name" -}}
{{- $name := printf "%s-%s" (include "leadtime.fullname" (first .)) (last .) -}}
{{- if gt (len $name) 52 -}}
{{- fail (printf "the name %s has %d characters, but 52 is what StatefulSets and KEDA's HPAs take: choose a shorter release or model name" $name (len $name)) -}}
{{- end -}}
{{- $name -}}
{{- end }}

{{/* The name of a cluster-wide object. A namespace has no dot in it, so that no two releases make the same. */}}
{{- define "leadtime.cluster-name" -}}
{{- printf "%s.%s" (first .).Release.Namespace (include "leadtime.name" .) -}}
{{- end }}

{{/* The Secret with the server's URL and password. */}}
{{- define "leadtime.redis-secret" -}}
{{- if .Values.redis.existingSecret -}}
{{- .Values.redis.existingSecret -}}
{{- else if .Values.valkey.enabled -}}
{{- if or (ne .Values.redis.urlKey "url") (ne .Values.redis.passwordKey "password") .Values.redis.usernameKey -}}
{{- fail "redis.urlKey, passwordKey and usernameKey are keys of redis.existingSecret, which is not set" -}}
{{- end -}}
{{- include "leadtime.name" (list . "redis") -}}
{{- else -}}
{{- fail "valkey.enabled is false, so redis.existingSecret has to name a Secret with the server's URL" -}}
{{- end -}}
{{- end }}
