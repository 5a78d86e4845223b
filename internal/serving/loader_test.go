package serving_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/artifacts"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/mlmodel"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/engine/onnx"
	"spotkeeper/internal/engine/python"
	"spotkeeper/internal/serving"
)

const stays = `
def make_decision(agent_data, pricing_data, market_data=None):
    return {"decision_type": "stay", "risk_score": 0.1, "expected_savings": 0, "confidence": 0.5, "reason": "I like it here"}
`

// shop keeps one file as a session and a loader that may run Python.
func shop(t *testing.T, name, content string) (*serving.Loader, mlmodel.Session, string) {
	t.Helper()
	root := t.TempDir()
	l := &serving.Loader{
		Files:      artifacts.Directory{Root: root},
		Python:     true,
		PythonPath: "python3",
		Log:        slog.New(slog.DiscardHandler),
	}
	o, err := l.Files.Put(t.Context(), "s1", strings.NewReader(content))
	require.NoError(t, err)
	return l, mlmodel.Session{
		ID:    "s1",
		Kind:  mlmodel.Engine,
		Files: []mlmodel.File{{Name: name, Digest: o.Digest, Size: o.Size}},
	}, root
}

func TestLoadAndTryAPythonEngine(t *testing.T) {
	t.Parallel()
	l, s, _ := shop(t, "stays.py", stays)
	require.NoError(t, l.Off(s))
	v, err := (&serving.Trial{Load: l.Load}).Try(t.Context(), s)
	require.NoError(t, err)
	require.Equal(t, "python", v.Runner)
	require.NotEmpty(t, v.Version)
	require.Positive(t, v.Decisions)
	require.InDelta(t, v.Never, v.Total, 1e-6, "who always stays never switches")
}

func TestWhatIsNotLoaded(t *testing.T) {
	t.Parallel()
	l, s, _ := shop(t, "broken.py", "def make_decision(:")
	_, err := l.Load(t.Context(), s)
	require.Equal(t, python.BadEngine, fault.CodeOf(err), "%v", err)

	l.Python = false
	require.Equal(t, python.Off, fault.CodeOf(l.Off(s)))
	_, err = l.Load(t.Context(), s)
	require.Equal(t, python.Off, fault.CodeOf(err))
	require.ErrorContains(t, err, "ENGINE_PYTHON")

	l, s, _ = shop(t, "m.h5", "weights")
	_, err = l.Load(t.Context(), s)
	require.Equal(t, engine.NoRunner, fault.CodeOf(err))
	require.ErrorContains(t, err, "ONNX")

	l, s, _ = shop(t, "m.onnx", "tree")
	require.Equal(t, onnx.Off, fault.CodeOf(l.Off(s)))

	l, s, _ = shop(t, "gone.py", stays)
	s.Files[0].Digest = strings.Repeat("0", 64)
	_, err = l.Load(t.Context(), s)
	require.Equal(t, artifacts.NotFound, fault.CodeOf(err))
}

// judge is an engine under trial.
type judge struct {
	engine.Rules
	decide func(in engine.Input) (engine.Decision, error)
}

func (j judge) Close() error { return nil }

func (j judge) Decide(_ context.Context, in engine.Input) (engine.Decision, error) {
	return j.decide(in)
}

// TestTrialsRefuse what fails and what is absurd.
func TestTrialsRefuse(t *testing.T) {
	t.Parallel()
	try := func(decide func(in engine.Input) (engine.Decision, error)) error {
		trial := &serving.Trial{
			Load: func(context.Context, mlmodel.Session) (serving.LoadedEngine, error) {
				return judge{decide: decide}, nil
			},
		}
		_, err := trial.Try(t.Context(), mlmodel.Session{ID: "s"})
		return err
	}
	calls := 0
	err := try(func(engine.Input) (engine.Decision, error) {
		calls++
		return engine.Decision{}, errors.New("it hangs")
	})
	require.Equal(t, mlmodel.Refused, fault.CodeOf(err))
	require.ErrorContains(t, err, "it hangs")
	require.Less(t, calls, 100, "it is given up soon")

	calls = 0
	err = try(func(in engine.Input) (engine.Decision, error) {
		if calls++; calls%10 == 0 {
			return engine.Decision{}, errors.New("now and then")
		}
		return engine.StayPut(in, "fine"), nil
	})
	require.Equal(t, mlmodel.Refused, fault.CodeOf(err), "%v", err)

	err = try(func(in engine.Input) (engine.Decision, error) {
		return engine.Decision{Action: engine.SwitchToOnDemand, Mode: agent.OnDemand, Reason: "spot is scary"}, nil
	})
	require.Equal(t, mlmodel.Refused, fault.CodeOf(err), "%v", err)
	require.ErrorContains(t, err, "costs")
}

// TestATrialThatIsCalledOff, because its worker stops or its rollout was aborted,
// says nothing about the session.
func TestATrialThatIsCalledOff(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	trial := &serving.Trial{Load: func(context.Context, mlmodel.Session) (serving.LoadedEngine, error) {
		return judge{decide: func(in engine.Input) (engine.Decision, error) {
			cancel()
			return engine.StayPut(in, "fine"), nil
		}}, nil
	}}
	_, err := trial.Try(ctx, mlmodel.Session{ID: "s"})
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, fault.CodeOf(err))

	trial.Load = func(ctx context.Context, _ mlmodel.Session) (serving.LoadedEngine, error) {
		return nil, python.BadEngine.Wrap(ctx.Err(), "it did not start in time")
	}
	_, err = trial.Try(ctx, mlmodel.Session{ID: "s"})
	require.Empty(t, fault.CodeOf(err))
}
