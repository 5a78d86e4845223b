{{- define "spotkeeper.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Labels that never change, for selectors. Call with (dict "root" $ "component" "api"). */}}
{{- define "spotkeeper.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "spotkeeper.labels" -}}
{{ include "spotkeeper.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: spotkeeper
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "spotkeeper.image" -}}
{{- $image := .root.Values.image -}}
{{- $digest := get $image.digests .name -}}
{{- $tag := default .root.Chart.AppVersion $image.tag -}}
{{- with get . "previous" -}}
{{- $digest = get . "digest" -}}
{{- $tag = get . "tag" | default .buildID -}}
{{- end -}}
{{- if $digest -}}
{{- printf "%s/%s@%s" $image.registry .name $digest -}}
{{- else -}}
{{- $variant := ternary "" $image.variant (eq .name "agent") -}}
{{- printf "%s/%s:%s%s" $image.registry .name $tag $variant -}}
{{- end -}}
{{- end -}}

{{/* The values of a component: workers of earlier versions have those of workers. */}}
{{- define "spotkeeper.valuesOf" -}}
{{- ternary "worker" .component (eq .component "worker-previous") -}}
{{- end -}}

{{- define "spotkeeper.serviceAccount" -}}
{{- $component := include "spotkeeper.valuesOf" . -}}
{{- $account := (get .root.Values $component).serviceAccount -}}
{{- if $account.create -}}
{{- default (printf "%s-%s" (include "spotkeeper.fullname" .root) $component) $account.name -}}
{{- else -}}
{{- default "default" $account.name -}}
{{- end -}}
{{- end -}}

{{- define "spotkeeper.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "spotkeeper.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "spotkeeper.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Settings of api and worker. Secrets come from Secrets. */}}
{{- define "spotkeeper.env" -}}
- {name: AWS_REGION, value: {{ .Values.aws.region | quote }}}
- {name: ARTIFACTS_URL, value: {{ .Values.artifacts.url | quote }}}
- {name: TEMPORAL_ADDRESS, value: {{ .Values.temporal.address | quote }}}
- {name: TEMPORAL_NAMESPACE, value: {{ .Values.temporal.namespace | quote }}}
- {name: TEMPORAL_TASK_QUEUE, value: {{ .Values.temporal.taskQueue | quote }}}
{{- with .Values.temporal.uiURL }}
- {name: TEMPORAL_UI_URL, value: {{ . | quote }}}
{{- end }}
{{- with .Values.temporal.apiKeySecret }}
- {name: TEMPORAL_API_KEY_FILE, value: /etc/temporal-key/TEMPORAL_API_KEY}
{{- end }}
{{- if .Values.temporal.encryptPayloads }}
- {name: TEMPORAL_ENCRYPT_PAYLOADS, value: "true"}
{{- end }}
{{- if not (or .Values.temporal.tls.enabled (has "temporal" .Values.insecureTransport)) }}
{{- fail "temporal.tls.enabled is false: api and worker refuse that unless insecureTransport lists temporal" }}
{{- end }}
{{- with .Values.insecureTransport }}
- {name: INSECURE_TRANSPORT, value: {{ join "," . | quote }}}
{{- end }}
{{- if .Values.temporal.tls.enabled }}
- {name: TEMPORAL_TLS, value: "true"}
{{- with .Values.temporal.tls.serverName }}
- {name: TEMPORAL_TLS_SERVER_NAME, value: {{ . | quote }}}
{{- end }}
{{- if .Values.temporal.tls.secret }}
- {name: TEMPORAL_TLS_CLIENT_CERT_PATH, value: /etc/temporal/tls.crt}
- {name: TEMPORAL_TLS_CLIENT_KEY_PATH, value: /etc/temporal/tls.key}
{{- if .Values.temporal.tls.caInSecret }}
- {name: TEMPORAL_TLS_SERVER_CA_CERT_PATH, value: /etc/temporal/ca.crt}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.eventsQueueURLs }}
- {name: EVENTS_QUEUE_URL, value: {{ join "," . | quote }}}
{{- end }}
{{- with .Values.trustedProxies }}
- {name: TRUSTED_PROXIES, value: {{ join "," . | quote }}}
{{- end }}
{{- range $name, $value := .Values.config }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end -}}

{{/* Which version a process is. Call with (dict "root" $), and "previous" for an earlier one. */}}
{{- define "spotkeeper.version" -}}
{{- $versioning := .root.Values.worker.versioning -}}
{{- if $versioning.deployment }}
- {name: TEMPORAL_DEPLOYMENT_NAME, value: {{ $versioning.deployment | quote }}}
{{- with get . "previous" }}
- {name: TEMPORAL_WORKER_BUILD_ID, value: {{ .buildID | quote }}}
{{- else }}
- {name: TEMPORAL_WORKER_BUILD_ID, value: {{ $versioning.buildID | default .root.Values.image.tag | default .root.Chart.AppVersion | quote }}}
{{- end }}
{{- end }}
{{- end -}}

{{- define "spotkeeper.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if and .Values.temporal.tls.enabled .Values.temporal.tls.secret }}
- {name: temporal-tls, mountPath: /etc/temporal, readOnly: true}
{{- end }}
{{- if .Values.temporal.apiKeySecret }}
- {name: temporal-key, mountPath: /etc/temporal-key, readOnly: true}
{{- end }}
{{- if .Values.artifacts.existingClaim }}
- {name: artifacts, mountPath: {{ .Values.artifacts.url | quote }}}
{{- end }}
{{- end -}}

{{- define "spotkeeper.volumes" -}}
- {name: tmp, emptyDir: {sizeLimit: 512Mi}}
{{- if and .Values.temporal.tls.enabled .Values.temporal.tls.secret }}
- {name: temporal-tls, secret: {secretName: {{ .Values.temporal.tls.secret }}, defaultMode: 0440}}
{{- end }}
{{- with .Values.temporal.apiKeySecret }}
- {name: temporal-key, secret: {secretName: {{ . }}, defaultMode: 0440, items: [{key: TEMPORAL_API_KEY, path: TEMPORAL_API_KEY}]}}
{{- end }}
{{- if .Values.artifacts.existingClaim }}
- {name: artifacts, persistentVolumeClaim: {claimName: {{ .Values.artifacts.existingClaim }}}}
{{- end }}
{{- end -}}

{{/* The components with workers: those of earlier versions have a selector of their own. */}}
{{- define "spotkeeper.workers" -}}
worker{{ if .Values.worker.versioning.previous }} worker-previous{{ end }}
{{- end -}}

{{/* Where pods of a component go. Call with (dict "root" $ "component" "api"). */}}
{{- define "spotkeeper.placement" -}}
{{- $own := get .root.Values (include "spotkeeper.valuesOf" .) -}}
{{- with $own.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $own.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .root.Values.topologySpread.enabled }}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: {{ $.root.Values.topologySpread.whenUnsatisfiable }}
    labelSelector:
      matchLabels: {{- include "spotkeeper.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}
{{- end -}}
