package engine_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/engine"
)

func TestRunnerOf(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"m.onnx":   "onnx",
		"M.ONNX":   "onnx",
		"e.py":     "python",
		"e.pkl":    "python",
		"e.joblib": "python",
	} {
		runner, err := engine.RunnerOf(name)
		require.NoError(t, err)
		require.Equal(t, want, runner)
	}
	for _, name := range []string{"m.h5", "m.pb", "m.pth", "m.pt"} {
		_, err := engine.RunnerOf(name)
		require.True(t, fault.Is(err, engine.NoRunner))
		require.ErrorContains(t, err, "export the model to ONNX")
	}
	_, err := engine.RunnerOf("archive.zip")
	require.ErrorContains(t, err, "use .onnx, .py, .pkl or .joblib")
}

func TestFeaturesFollowTheList(t *testing.T) {
	t.Parallel()
	in := onSpot(.03, .02, .05)
	rows := engine.Features(in, []engine.Place{{
		Pool:    &in.Pools[0],
		Age:     3600e9 * 5,
		Current: true,
	}, {Pool: &in.Pools[2]}})
	require.Len(t, rows, 2*len(engine.FeatureList))
	require.InDeltaSlice(t, []float32{.3, .3, 0, 0, 0, 1000, .00048, 5, 1, 12, 1}, rows[:len(engine.FeatureList)], 1e-5)
	require.InDelta(t, .5, rows[len(engine.FeatureList)], 1e-6)
	require.NoError(t, engine.CheckFeatures(engine.FeatureNames()))
	require.True(t, fault.Is(engine.CheckFeatures([]string{"price"}), engine.OtherFeatures))
}

// TestFeaturesAreDocumented holds the document that model makers read against
// the list.
func TestFeaturesAreDocumented(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/engine.md")
	require.NoError(t, err)
	for i, f := range engine.FeatureList {
		require.Contains(t, string(doc), fmt.Sprintf("| %d | `%s` | %s | %s |", i, f.Name, f.Unit, f.Meaning))
	}
	require.Contains(t, string(doc), fmt.Sprintf("`[n, %d]`", len(engine.FeatureList)))
	require.Contains(t, string(doc), fmt.Sprintf("(version %d)", engine.FeatureVersion))
}

// TestGivenPricesFillIn what is unknown or too old, and nothing else.
func TestGivenPricesFillIn(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	fresh, old := engine.Price{USD: .03, At: now}, engine.Price{USD: .01, At: now.Add(-48 * time.Hour)}
	caller := engine.Input{OnDemand: engine.Price{USD: .1, At: now}, Pools: []engine.Pool{
		{ID: "a", Price: engine.Price{USD: .09, At: now}}, {ID: "b", Price: fresh}, {ID: "other", Price: fresh}}}
	in := engine.Input{Now: now, Pools: []engine.Pool{{ID: "a", Price: fresh}, {ID: "b", Price: old}, {ID: "c", Price: old}}}
	in.FillIn(caller.Given())
	require.InDelta(t, .1, in.OnDemand.USD, 0)
	for i, want := range []float64{.03, .03, .01} {
		require.InDelta(t, want, in.Pools[i].Price.USD, 0, in.Pools[i].ID)
	}
	in.FillIn(engine.Input{OnDemand: engine.Price{USD: 9, At: now}}.Given())
	require.InDelta(t, .1, in.OnDemand.USD, 0, "what is known stays")
}
