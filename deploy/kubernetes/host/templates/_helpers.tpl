{{- define "postgres" -}}
{{ .Values.postgres.host | default (printf "postgres.%s" .Release.Namespace) }}
{{- end }}

{{- define "container" -}}
imagePullPolicy: IfNotPresent
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- /* `shareProcessNamespace` in most pods is Compose's `init`: as process 1, a program would not hear that it should
end. The front must not see into the webserver's processes: there it is left out. */ -}}
{{- define "pod" -}}
tolerations:  # a node that does not answer is given up after a minute, not after the five of Kubernetes
  - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 60}
  - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 60}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- /* What webserver, daemon and purge have: the settings, the locations, the login of Dagster's storage, and the
token by which runs are launched. It is mounted with the login, because /run/secrets is where both are looked for. */ -}}
{{- define "dagster.mounts" -}}
- {name: settings, mountPath: /opt/dagster/dagster.yaml, subPath: dagster.yaml, readOnly: true}
- {name: given, mountPath: /opt/dagster/workspace, readOnly: true}
- {name: secrets, mountPath: /run/secrets, readOnly: true}
- {name: tmp, mountPath: /tmp}
- {name: runs, mountPath: /var/lib/runs}
{{- end }}

{{- define "dagster.volumes" -}}
- {name: settings, configMap: {name: settings}}
- {name: given, configMap: {name: given}}
- {name: tmp, emptyDir: {sizeLimit: 256Mi}}
- {name: runs, emptyDir: {sizeLimit: 1Gi}}
- name: secrets
  projected:
    sources:
      - secret: {name: dagster}
      - serviceAccountToken: {path: kubernetes.io/serviceaccount/token}
      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: kubernetes.io/serviceaccount/ca.crt}]}
      - downwardAPI: {items: [{path: kubernetes.io/serviceaccount/namespace, fieldRef: {fieldPath: metadata.namespace}}]}
{{- end }}

{{- /* Nothing is served before the storage is set up. */ -}}
{{- define "wait" -}}
- name: wait
  image: {{ .Values.image }}
  {{- include "container" . | nindent 2 }}
  command: [python, -m, ingest_host.setup, ready]
  resources: {limits: {cpu: "1", memory: 256Mi}, requests: {cpu: 50m, memory: 64Mi}}
  volumeMounts:
    - {name: secrets, mountPath: /run/secrets, readOnly: true}
    - {name: tmp, mountPath: /tmp}
{{- end }}

{{- /* How often the cluster looks whether what runs still answers; what fails three times is started again. */ -}}
{{- define "liveness" -}}
initialDelaySeconds: 120
timeoutSeconds: 10
periodSeconds: 60
{{- end }}
