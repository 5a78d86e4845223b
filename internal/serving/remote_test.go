package serving_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/mlmodel"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/serving"
)

// workers answers in place of workflows.Client.
type workers struct {
	asked []activities.JudgeInput
	err   error
}

func (w *workers) Judge(_ context.Context, in activities.JudgeInput) (*engine.Decision, error) {
	w.asked = append(w.asked, in)
	if w.err != nil {
		return nil, w.err
	}
	return &engine.Decision{Action: engine.SwitchToOnDemand, Mode: agent.OnDemand, Risk: .4, Reason: "the model says so"}, nil
}

func remoteInput() engine.Input {
	now := time.Unix(1_800_000_000, 0)
	return engine.Input{
		Now: now, Agent: engine.Agent{ID: "a1", Enabled: true}, Limits: engine.DefaultLimits(),
		Instance: engine.Instance{ID: "i-1", Type: "t3.medium", Region: "us-east-1", AZ: "us-east-1a", Mode: agent.Spot,
			PoolID: "t3.medium.us-east-1a", LaunchedAt: now.Add(-48 * time.Hour)},
		OnDemand: engine.Price{USD: .1, At: now},
		Pools: []engine.Pool{{ID: "t3.medium.us-east-1a", Type: "t3.medium", Region: "us-east-1", AZ: "us-east-1a",
			Price: engine.Price{USD: .03, At: now}}},
	}
}

// TestAnAPIAsksAWorker: it reads no file and starts nothing. Without a worker the rules
// decide and are named, and an outage is not waited for by each caller anew.
func TestAnAPIAsksAWorker(t *testing.T) {
	t.Parallel()
	at, w := time.Unix(0, 0), &workers{}
	r := &serving.Remote{Workers: w, Now: func() time.Time { return at }}
	e, err := r.Load(t.Context(), mlmodel.Session{ID: "s1", Kind: mlmodel.Models,
		Files: []mlmodel.File{{Name: "m.onnx", Digest: "0123456789abcdef"}}})
	require.NoError(t, err)
	decide := func() engine.Decision { return engine.Decide(t.Context(), e, remoteInput()) }

	d := decide()
	require.Equal(t, engine.SwitchToOnDemand, d.Action, d.Reason)
	require.Equal(t, "onnx", d.Engine)
	require.Equal(t, "0123456789ab", d.Version)
	require.Equal(t, "s1", w.asked[0].SessionID)
	require.Equal(t, "a1", w.asked[0].AgentID)
	require.InDelta(t, .1, w.asked[0].Given.OnDemand.USD, 0)

	w.err = engine.Unavailable.New("the model failed")
	d = decide()
	require.Equal(t, engine.Stay, d.Action)
	require.Equal(t, "onnx", d.Engine, "its failure is its own")
	require.Contains(t, d.Reason, "the model failed")

	byRules := func(want string) {
		t.Helper()
		d := decide()
		require.Equal(t, engine.Rules{}.Name(), d.Engine)
		require.Equal(t, engine.Rules{}.Version(), d.Version)
		require.Contains(t, d.Reason, want)
	}
	w.err = engine.NotLoaded.New("the session is not loaded")
	byRules("is not loaded")
	w.err = errors.New("Temporal is away")
	byRules("Temporal is away")
	w.err = nil
	n := len(w.asked)
	byRules("no worker has answered")
	require.Len(t, w.asked, n, "it is not asked again at once")
	at = at.Add(6 * time.Second)
	require.Equal(t, "onnx", decide().Engine)

	_, err = r.Load(t.Context(), mlmodel.Session{Files: []mlmodel.File{{Name: "m.h5"}}})
	require.Equal(t, engine.NoRunner, fault.CodeOf(err))
}
