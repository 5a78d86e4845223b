package onnx_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/engine/host"
	"spotkeeper/internal/engine/onnx"
	"spotkeeper/internal/engine/onnx/onnxtest"
	"spotkeeper/internal/testkit/confined"
	"spotkeeper/internal/testkit/cpu"
)

// TestMain lets this binary be a process with fewer rights.
func TestMain(m *testing.M) {
	confined.Become()
	goleak.VerifyTestMain(m)
}

var now = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// library is the one that `make onnxruntime` puts under bin.
func library(tb testing.TB) string {
	tb.Helper()
	_, file, _, ok := runtime.Caller(0)
	require.True(tb, ok)
	path := filepath.Join(filepath.Dir(file), "..", "..", "..", "bin", "onnxruntime", "libonnxruntime.so")
	require.FileExists(tb, path, "run `make onnxruntime` first")
	return path
}

// options are generous with time, because the machine may be busy.
func options() host.Options {
	return host.Options{CallTimeout: 20 * time.Second, LoadTimeout: 60 * time.Second}
}

// byRate is a risk model that splits on the interruption rate.
func byRate() onnxtest.Model {
	return onnxtest.Model{
		Feature: slices.Index(engine.FeatureNames(), "interruptions_per_day"),
		Splits:  []onnxtest.Split{{Below: .05, Value: .01}, {Below: .2, Value: .1}}, Otherwise: .6,
		Inputs: len(engine.FeatureList),
	}
}

func load(t *testing.T, m onnxtest.Model) *onnx.Engine {
	t.Helper()
	e, err := onnx.New(t.Context(), options(), library(t), "tree.onnx", m.Bytes())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

func pool(az string, usd float64, count int) engine.Pool {
	return engine.Pool{
		ID: agent.PoolID("t3.medium", az), Type: "t3.medium", Region: "us-east-1", AZ: az,
		Price:         engine.Price{USD: usd, At: now},
		History:       []engine.Price{{USD: usd, At: now.Add(-24 * time.Hour)}},
		Interruptions: &engine.Interruptions{Count: count, InstanceHours: 24000},
	}
}

// input is an agent in a pool that the model finds dangerous.
func input() engine.Input {
	return engine.Input{
		Now: now, Agent: engine.Agent{ID: "a1", Enabled: true},
		Instance: engine.Instance{
			ID:         "i-1",
			Type:       "t3.medium",
			Region:     "us-east-1",
			AZ:         "us-east-1a",
			Mode:       agent.Spot,
			PoolID:     "t3.medium.us-east-1a",
			LaunchedAt: now.Add(-48 * time.Hour),
		},
		OnDemand: engine.Price{USD: .1, At: now},
		Pools:    []engine.Pool{pool("us-east-1a", .03, 300), pool("us-east-1b", .035, 0)},
		Limits:   engine.DefaultLimits(),
	}
}

func TestDecidesByTheModelsRisk(t *testing.T) {
	t.Parallel()
	e := load(t, byRate())
	d := engine.Decide(t.Context(), e, input())
	require.Equal(t, engine.SwitchToSpot, d.Action, d.Reason)
	require.Equal(t, "t3.medium.us-east-1b", d.PoolID)
	require.InDelta(t, .6, d.Risk, 1e-6)
	require.InDelta(t, .01, d.Scores[2].Risk, 1e-6)
	require.Equal(t, "onnx", d.Engine)
	require.Len(t, d.Version, 12)
}

func TestAModelsNonsenseMakesItStay(t *testing.T) {
	t.Parallel()
	m := byRate()
	m.Otherwise = 5
	d := engine.Decide(t.Context(), load(t, m), input())
	require.Equal(t, engine.Stay, d.Action)
	require.Equal(t, string(engine.BadAnswer), string(d.Vetoes[0].Code))
	require.Contains(t, d.Reason, "answered the risk 5")
}

func TestSignature(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		edit func(*onnxtest.Model)
		code fault.Code
		want string
	}{
		{"too few features", func(m *onnxtest.Model) { m.Inputs = 7 }, onnx.BadModel, "it must be float [n, 11]"},
		{"doubles", func(m *onnxtest.Model) { m.ElementType = 11 }, onnx.BadModel, "it must be float [n, 11]"},
		{"other features", func(m *onnxtest.Model) { m.Metadata = map[string]string{"features": "price, age"} },
			engine.OtherFeatures, "[price age]"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := byRate()
			c.edit(&m)
			_, err := onnx.New(t.Context(), options(), library(t), "tree.onnx", m.Bytes())
			require.True(t, fault.Is(err, c.code), "%v", err)
			require.ErrorContains(t, err, c.want)
		})
	}
	for name, data := range map[string][]byte{
		"empty":       nil,
		"not a model": []byte("PK\x03\x04 no"),
		"cut off":     byRate().Bytes()[:100],
	} {
		_, err := onnx.New(t.Context(), options(), library(t), name, data)
		require.True(t, fault.Is(err, onnx.BadModel), "%s: %v", name, err)
	}
}

func TestNamedFeaturesAndASingleOutput(t *testing.T) {
	t.Parallel()
	m := byRate()
	m.Metadata = map[string]string{"features": strings.Join(engine.FeatureNames(), ", ")}
	m.Output = "variable"
	e := load(t, m)
	require.InDelta(t, .6, engine.Decide(t.Context(), e, input()).Risk, 1e-6)
}

func TestWithoutTheLibrary(t *testing.T) {
	t.Parallel()
	text := filepath.Join(t.TempDir(), "text.so")
	require.NoError(t, os.WriteFile(text, []byte("no library"), 0o600))
	for path, want := range map[string]string{
		"":               "no library is configured",
		"/nowhere/at.so": "there is no library at",
		text:             "cannot be loaded",
	} {
		_, err := onnx.New(t.Context(), options(), path, "tree.onnx", byRate().Bytes())
		require.True(t, fault.Is(err, onnx.Off), "%v", err)
		require.ErrorContains(t, err, "onnx off: ")
		require.ErrorContains(t, err, want)
		require.Equal(t, path != text, fault.Is(onnx.Check(path), onnx.Off), "what is loaded is found out by loading")
	}
}

func TestNoTimeLeft(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d := engine.Decide(ctx, load(t, byRate()), input())
	require.Equal(t, engine.Stay, d.Action)
	require.Contains(t, d.Reason, "no time left")
}

func TestClosedWhileInUse(t *testing.T) {
	t.Parallel()
	e := load(t, byRate())
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for range 200 {
				d := engine.DecideUnrecorded(context.Background(), e, input())
				if !d.AsksForSwitch() && !strings.Contains(d.Reason, "unloaded") {
					t.Errorf("an answer that is neither a decision nor unloaded: %s", d.Reason)
				}
			}
		})
	}
	require.NoError(t, e.Close())
	callers.Wait()
	require.Contains(t, engine.DecideUnrecorded(t.Context(), e, input()).Reason, "the ONNX model was unloaded")
}

func BenchmarkDecide(b *testing.B) {
	e, err := onnx.New(b.Context(), options(), library(b), "tree.onnx", byRate().Bytes())
	require.NoError(b, err)
	in := input()
	used := cpu.ProcessorTime()
	for b.Loop() {
		engine.DecideUnrecorded(b.Context(), e, in)
	}
	elapsed := b.Elapsed()
	require.NoError(b, e.Close()) // only then is known what the host has used; its start is in it
	cpu.ReportCost(b, b.N, elapsed, used)
}
