{{/* An image's name. Takes a list: the root, and an image of a model's or none. */}}
{{- define "leadtime.image" -}}
{{- $root := first . -}}
{{- $image := mergeOverwrite (deepCopy $root.Values.image) (last .) -}}
{{- if (last .).repository }}{{ $image = mergeOverwrite (dict "tag" "" "digest" "") (last .) }}{{ end -}}
{{- $tag := $image.tag | default $root.Chart.AppVersion -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository $tag -}}
{{- end -}}
{{- end }}

{{- define "leadtime.pull-secrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end }}
