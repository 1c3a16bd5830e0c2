{{/* How a pod is scraped. Takes a list: the root, the port's name, and the queue or nothing. */}}
{{- define "leadtime.endpoint" -}}
{{- $root := index . 0 -}}
{{- $queue := index . 2 -}}
port: {{ index . 1 }}
path: /metrics
interval: {{ $root.Values.monitoring.monitors.interval }}
{{- if and (eq (index . 1) "http") (or $root.Values.gateway.apiKeys.existingSecret $root.Values.gateway.apiKeysFile.existingSecret) }}
{{- fail "with API keys the metrics need a port of their own: set gateway.metricsPort" }}
{{- end }}
relabelings:
  - {targetLabel: release, replacement: {{ $root.Release.Name | quote }}}
  {{- if $queue }}
  - {targetLabel: queue, replacement: {{ $queue | quote }}}
  {{- end }}
{{- end }}

{{/* The labels by which alerts find this release's series. */}}
{{- define "leadtime.series" -}}
namespace="{{ .Release.Namespace }}",release="{{ .Release.Name }}"
{{- end }}
