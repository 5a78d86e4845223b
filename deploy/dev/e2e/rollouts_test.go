package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/devtest"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/testkit/histories"
)

// stays is an uploaded engine that never moves an agent; the number makes each one
// another file.
const stays = `
def make_decision(agent_data, pricing_data, market_data=None):
    return {"decision_type": "stay", "risk_score": 0.1, "expected_savings": 0, "confidence": 0.5, "reason": "engine %d"}
`

// upload sends one engine file and returns its session.
func upload(
	ctx context.Context,
	s *devtest.Stack,
	content string,
	activate bool,
) (session string, status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var answer struct{ SessionID string }
	status, err = s.Upload(ctx, fmt.Sprintf("/api/admin/decision-engine/upload?activate=%v", activate), "engine.py",
		[]byte(content), &answer)
	return answer.SessionID, status, err
}

// rolling is a rollout as its page says.
type rolling struct {
	Phase, Detail string
	Percent       int
	Paused        bool
	Error, Code   string
}

// roll starts a rollout; a plan without guards waits for no decisions.
func roll(ctx context.Context, s *devtest.Stack, session string, plan map[string]any) (out rolling, err error) {
	plan["session_id"] = session
	if plan["guards"] == nil {
		plan["guards"] = map[string]any{"min_decisions": 0}
	}
	status, err := s.Call(ctx, "POST", "/api/admin/model-rollouts", "", plan, &out)
	if err == nil && status != 201 {
		err = fmt.Errorf("start: %d %s %s", status, out.Code, out.Error)
	}
	return out, err
}

func commandRollout(ctx context.Context, s *devtest.Stack, session, command, phase string) error {
	var out rolling
	status, err := s.Call(ctx, "POST", "/api/admin/model-rollouts/"+session+"/"+command, "", nil, &out)
	if err == nil && (status != 200 || out.Phase != phase) {
		err = fmt.Errorf("%s: %d %+v", command, status, out)
	}
	return err
}

func awaitRollout(ctx context.Context, s *devtest.Stack, session, phase string) error {
	return until(ctx, 200*time.Millisecond, func() (bool, error) {
		var out rolling
		if _, err := s.Call(ctx, "GET", "/api/admin/model-rollouts/"+session, "", nil, &out); err != nil {
			return false, err
		}
		if out.Phase == phase {
			return true, nil
		}
		return false, fmt.Errorf("%s is %+v", session, out)
	})
}

// deciding is the engine that a process decides with, as its page says.
func deciding(ctx context.Context, s *devtest.Stack) (engine, version string, err error) {
	var health struct {
		DecisionEngineStatus struct{ Type, Version string }
	}
	_, err = s.Call(ctx, "GET", "/api/admin/system-health", "", nil, &health)
	return health.DecisionEngineStatus.Type, health.DecisionEngineStatus.Version, err
}

// askEngine has an agent ask until an uploaded engine answers: the api asks a worker as
// soon as it has read the session.
func askEngine(ctx context.Context, m *member) error {
	if m == nil {
		return nil
	}
	return until(ctx, again, func() (bool, error) {
		var answer struct{ Engine string }
		err := m.insist(ctx, "POST", m.path("/decide"), map[string]any{
			"instance": map[string]any{"current_mode": "spot"}, "pricing": map[string]any{"on_demand_price": .0416}}, &answer)
		return err == nil && answer.Engine == engine.RunnerPython, err
	})
}

// walkRollouts takes engines through every way a rollout goes.
func walkRollouts(ctx context.Context, s *devtest.Stack, asks *member) error {
	short := func() map[string]any {
		return map[string]any{"shadow": "3s", "canary": []int{50}, "step": "3s", "watch": "3s"}
	}
	long := func() map[string]any {
		return map[string]any{"shadow": "1h", "canary": []int{10, 50}, "step": "1h", "watch": "1h"}
	}
	var sessions []string
	for i := range 6 {
		id, status, err := upload(ctx, s, fmt.Sprintf(stays, i), i == 0)
		if err != nil || status != 200 {
			return fmt.Errorf("upload %d: %d %w", i, status, err)
		}
		sessions = append(sessions, id)
	}
	if err := awaitRollout(ctx, s, sessions[0], "live"); err != nil {
		return err
	}
	if err := askEngine(ctx, asks); err != nil {
		return err
	}
	if _, status, err := upload(ctx, s, "def make_decision(:", true); err != nil || status != 400 {
		return fmt.Errorf("a broken engine: %d %w", status, err)
	}
	if err := awaitRollout(ctx, s, sessions[0], "live"); err != nil { // a refused session ends no watch
		return err
	}
	if _, err := roll(ctx, s, sessions[1], short()); err != nil { // its shadow ends the watch of the first
		return err
	}
	if err := awaitRollout(ctx, s, sessions[1], "completed"); err != nil {
		return err
	}
	for i, commands := range [][][2]string{
		{{"abort", "aborted"}},
		{{"promote", "canary"}, {"pause", "canary"}, {"resume", "canary"}, {"rollback", "rolled_back"}},
		{{"promote", "canary"}, {"promote", "canary"}, {"promote", "live"}, {"abort", "aborted"}},
		{{"promote", "canary"}, {"promote", "canary"}, {"promote", "live"}, {"promote", "completed"}},
	} {
		if _, err := roll(ctx, s, sessions[2+i], long()); err != nil {
			return err
		}
		for _, c := range commands {
			if err := commandRollout(ctx, s, sessions[2+i], c[0], c[1]); err != nil {
				return err
			}
		}
	}
	status, err := s.Call(ctx, "POST", "/api/admin/ml-models/fallback", "", map[string]any{"kind": "engine"}, nil)
	if err != nil || status != 200 {
		return fmt.Errorf("fallback: %d %w", status, err)
	}
	// The fallback is what was live before the last; its watch is ended by hand.
	return commandRollout(ctx, s, sessions[1], "promote", "completed")
}

// TestModelRollouts: engines are uploaded, earn their way and lose it over HTTP,
// and every process follows without a restart.
func TestModelRollouts(t *testing.T) {
	t.Parallel()
	s := devtest.Start(t, devtest.Options{Environment: map[string]string{"ENGINE_PYTHON": "on"}})
	ctx := deadline(t, 5*time.Minute)
	require.NoError(t, walkRollouts(ctx, s, nil))

	var engine, before, version string
	require.NoError(t, until(ctx, time.Second, func() (bool, error) { // the walk's last swap has arrived
		was := before
		_, now, err := deciding(ctx, s)
		before = now
		return err == nil && was == now, err
	}))
	id, status, err := upload(ctx, s, fmt.Sprintf(stays, 99), true)
	require.NoError(t, err)
	require.Equal(t, 200, status)
	answered := time.Now()
	require.NoError(t, until(ctx, 20*time.Millisecond, func() (bool, error) {
		engine, version, err = deciding(ctx, s)
		return err == nil && version != before, err
	}))
	require.Equal(t, "python", engine)
	t.Logf("the api decides with %s %s of session %s %s after the answer", engine, version, id,
		time.Since(answered).Round(time.Millisecond))

	require.NoError(t, s.Kill(devtest.Worker))
	require.NoError(t, s.Restart(ctx, devtest.Worker))
	require.NoError(t, commandRollout(ctx, s, id, "rollback", "rolled_back"), "a worker that died loses no rollout")

	if *record != "" {
		temporal := s.Dial(ctx, t)
		require.NoError(t, until(ctx,
			time.Second, func() (bool, error) { return running(ctx, temporal, "ModelRollout") == 0, nil }))
		kept, err := histories.Record(ctx, temporal, queueOfStack, *record, perWorkflow)
		require.NoError(t, err)
		t.Logf("kept %v", kept)
	}
}
