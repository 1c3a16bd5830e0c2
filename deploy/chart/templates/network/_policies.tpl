{{/* The head of a policy for a part's pods. Takes a list: the root, the policy's name, and the part. */}}
{{- define "leadtime.policy" -}}
{{- $root := index . 0 -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "leadtime.name" (list $root (index . 1)) }}
  namespace: {{ $root.Release.Namespace | quote }}
  labels:
    {{- include "leadtime.labels" (list $root (index . 2)) | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "leadtime.selector" (list $root (index . 2)) | nindent 6 }}
{{- end }}

{{/* A part's pods as a source or a target. Takes a list: the root, and the part. */}}
{{- define "leadtime.peer" -}}
- podSelector:
    matchLabels:
      {{- include "leadtime.selector" . | nindent 6 }}
{{- end }}

{{/* A list of TCP ports. */}}
{{- define "leadtime.tcp" -}}
{{- range . }}
- {protocol: TCP, port: {{ int . }}}
{{- end }}
{{- end }}

{{/* A namespace as a source, by its name. */}}
{{- define "leadtime.from-namespace" -}}
- namespaceSelector:
    matchLabels: {kubernetes.io/metadata.name: {{ . | quote }}}
{{- end }}

{{/* KEDA's operator as a source. */}}
{{- define "leadtime.from-keda" -}}
{{ include "leadtime.from-namespace" .Values.networkPolicy.kedaNamespace }}
  podSelector:
    matchLabels: {app: keda-operator}
{{- end }}
