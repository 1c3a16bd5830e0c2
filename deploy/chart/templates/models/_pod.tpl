{{/* A worker's pod but for its containers and volumes. Takes a list: the root, and the model. */}}
{{- define "leadtime.worker-pod" -}}
{{- $root := first . -}}
{{- with last . -}}
serviceAccountName: {{ include "leadtime.name" (list $root "workers") }}
automountServiceAccountToken: true # to keep its pod's deletion cost true; see account.yaml
{{- include "leadtime.pull-secrets" $root }}
# The one place for the workers' grace time: jobs at hand get it less 10 s, then they are handed back.
terminationGracePeriodSeconds: {{ int .terminationSeconds }}
securityContext:
  {{- include "leadtime.pod-security" 10001 | nindent 2 }}
  fsGroup: 10001 # so that a claim's volume can be written
  fsGroupChangePolicy: OnRootMismatch
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "leadtime.selector" (list $root "worker") | nindent 8 }}
        leadtime/model: {{ .name | quote }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- end -}}
{{- end }}
