package chart_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"spotkeeper/deploy/checks/chart"
)

// TestWorkersOfEarlierVersions run beside those of this one: each with its own image and
// build id, and none is counted among the pods of another Deployment.
func TestWorkersOfEarlierVersions(t *testing.T) {
	t.Parallel()
	type worker struct{ image, build string }
	var deployments []*apps.Deployment
	have := map[string]worker{}
	for _, o := range renderings(t)["full-values.yaml"].Objects {
		d, ok := o.Typed.(*apps.Deployment)
		if !ok {
			continue
		}
		deployments = append(deployments, d)
		env := variables(d.Spec.Template.Spec.Containers[0].Env)
		require.Equal(t, "spotkeeper", env["TEMPORAL_DEPLOYMENT_NAME"])
		have[d.Name] = worker{d.Spec.Template.Spec.Containers[0].Image, env["TEMPORAL_WORKER_BUILD_ID"]}
	}
	const registry = "registry.example.com/spotkeeper/"
	require.Equal(t, map[string]worker{
		"spotkeeper-api":          {registry + "api:0.1.0-onnx", "0.3.0"},
		"spotkeeper-worker":       {registry + "worker:0.1.0-onnx", "0.3.0"},
		"spotkeeper-worker-0-2-0": {registry + "worker:0.2.0-onnx", "0.2.0"},
		"spotkeeper-worker-0-1-9": {registry + "worker@sha256:" + ones, "0.1.9"},
	}, have)
	for _, d := range deployments {
		selector := labels.SelectorFromSet(d.Spec.Selector.MatchLabels)
		for _, other := range deployments {
			require.Equal(t, d == other, selector.Matches(labels.Set(other.Spec.Template.Labels)), "%s and %s", d.Name, other.Name)
		}
	}
	_, err := chart.Render(t.Context(), "r", "n", at([]any{map[string]any{"buildID": "1"}}, "worker", "versioning", "previous"))
	require.ErrorContains(t, err, "worker.versioning.deployment")
	_, err = chart.Render(t.Context(), "r", "n", at([]any{map[string]any{"buildID": "a b"}}, "worker", "versioning", "previous"))
	require.ErrorContains(t, err, "/worker/versioning/previous/0/buildID")
}

const ones = "1111111111111111111111111111111111111111111111111111111111111111"

func variables(env []core.EnvVar) map[string]string {
	out := map[string]string{}
	for _, e := range env {
		out[e.Name] = e.Value
	}
	return out
}
