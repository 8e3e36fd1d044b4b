{{- define "interdict.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "interdict.selector" -}}
app.kubernetes.io/name: interdict
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "interdict.labels" -}}
{{ include "interdict.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "interdict.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{- end -}}
{{- end -}}
{{- end -}}

{{/* A value as TOML. Numbers of YAML come as fractions, which no key takes; strings of JSON are strings of TOML. */}}
{{- define "interdict.toml.value" -}}
{{- if kindIs "map" . -}}
{ {{- $first := true -}}
{{- range $key, $value := . -}}
{{- if not $first }},{{ end }} {{ $key }} = {{ include "interdict.toml.value" $value }}
{{- $first = false -}}
{{- end }} }
{{- else if kindIs "slice" . -}}
[{{- range $place, $item := . }}{{ if $place }}, {{ end }}{{ include "interdict.toml.value" $item }}{{ end -}}]
{{- else if kindIs "string" . -}}
{{ toJson . }}
{{- else if kindIs "bool" . -}}
{{ . }}
{{- else -}}
{{ int64 . }}
{{- end -}}
{{- end -}}

{{/* The configuration file: what the chart sets, and what .Values.config says, which wins. */}}
{{- define "interdict.toml" -}}
{{- $own := dict "daemon" (dict "reload_on_change" true) -}}
{{- $config := mustMergeOverwrite $own (deepCopy .Values.config) -}}
{{- range $section, $keys := $config }}
[{{ $section }}]
{{- range $key, $value := $keys }}
{{ $key }} = {{ include "interdict.toml.value" $value }}
{{- end }}
{{ end -}}
{{- end -}}

{{/* What of the configuration a reload does not take up. */}}
{{- define "interdict.restart" -}}
{{- pick .Values.config "limit" "control" "ledger" "export" "log" "daemon" | toJson -}}
{{- end -}}
