package chart_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/checks/chart"
	"spotkeeper/internal/config"
)

// at makes values with one key, as at("x", "api", "replicas").
func at(value any, path ...string) map[string]any {
	for _, key := range slices.Backward(path[1:]) {
		value = map[string]any{key: value}
	}
	return map[string]any{path[0]: value}
}

// TestSchemaRefuses: what is misspelt or impossible is an error with the place in it.
func TestSchemaRefuses(t *testing.T) {
	t.Parallel()
	for want, values := range map[string]map[string]any{
		"replica":                           at(2, "api", "replica"),
		"existingsecret":                    at("x", "existingsecret"),
		"LOG_LEVELS":                        at("debug", "config", "LOG_LEVELS"),
		"SECRET_KEY":                        at("c2VjcmV0", "config", "SECRET_KEY"),
		"DATABASE_URL":                      at("postgres://u:p@h/d", "config", "DATABASE_URL"),
		"/api/replicas":                     at("two", "api", "replicas"),
		"/worker/replicas":                  at(0, "worker", "replicas"),
		"/temporal/address":                 at("https://temporal", "temporal", "address"),
		"/artifacts/url":                    at("./artifacts", "artifacts", "url"),
		"/image/digests/api":                at("sha256:short", "image", "digests", "api"),
		"/image/variant":                    at("-gpu", "image", "variant"),
		"/api/service/type":                 at("ExternalName", "api", "service", "type"),
		"/topologySpread/whenUnsatisfiable": at("Never", "topologySpread", "whenUnsatisfiable"),
		"/trustedProxies/0":                 at([]any{"10.0.0.0"}, "trustedProxies"),
	} {
		_, err := chart.Render(t.Context(), "r", "n", values)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "spotkeeper", "the chart is named")
	}
	_, err := chart.Render(t.Context(), "r", "n", at(true, "httpRoute", "enabled"))
	require.ErrorContains(t, err, "httpRoute.parentRefs")
	byToken := at("token", "agent", "join", "method")
	byToken["agent"].(map[string]any)["enabled"] = true
	_, err = chart.Render(t.Context(), "r", "n", byToken)
	require.ErrorContains(t, err, "agent.join.existingSecret")
	_, err = chart.Render(t.Context(), "r", "n", at("password", "agent", "join", "method"))
	require.ErrorContains(t, err, "/agent/join/method")
}

// TestSchemaKnowsEverySetting: each variable of docs/config.md can be set, by a key of its
// own or under config, and secrets by a Secret alone.
func TestSchemaKnowsEverySetting(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(chart.Directory + "/values.schema.json")
	require.NoError(t, err)
	var schema struct {
		Properties map[string]struct{ Properties map[string]any }
	}
	require.NoError(t, json.Unmarshal(raw, &schema))
	var pods strings.Builder
	for _, r := range renderings(t) {
		for _, o := range r.Objects {
			pods.WriteString(o.Text)
		}
	}
	secrets := []string{"DATABASE_URL", "SECRET_KEY", "SECRET_KEYS", "ADMIN_TOKEN", "OIDC_CLIENT_SECRET"}
	for _, name := range config.VariableNames() {
		_, settable := schema.Properties["config"].Properties[name]
		switch {
		case slices.Contains(secrets, name):
			require.False(t, settable, "%s is secret", name)
		default:
			require.True(t, settable || strings.Contains(pods.String(), "name: "+name), "%s cannot be set: add it to values.schema.json", name)
		}
	}
	for name := range schema.Properties["config"].Properties {
		require.Contains(t, config.VariableNames(), name, "there is no such setting")
	}
}
