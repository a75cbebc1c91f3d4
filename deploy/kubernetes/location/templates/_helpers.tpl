{{- /* No name of a location has a hyphen, so no two have the same namespace. */ -}}
{{- define "namespace" -}}
{{ printf "%s-%s" .Release.Namespace (required "set name" .Values.name | replace "_" "-") }}
{{- end }}

{{- define "postgres" -}}
{{ .Values.postgres | default (printf "postgres.%s" .Release.Namespace) }}
{{- end }}

{{- define "container" -}}
imagePullPolicy: IfNotPresent
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "pod" -}}
tolerations:  # a node that does not answer is given up after a minute, not after the five of Kubernetes
  - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 60}
  - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 60}
automountServiceAccountToken: false
enableServiceLinks: false
shareProcessNamespace: true  # as process 1, a program would not hear that it should end
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- end }}
