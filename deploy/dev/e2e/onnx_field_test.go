package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/devtest"
	"spotkeeper/internal/domain/mlmodel"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/engine/onnx/onnxtest"
)

// modelRisk is what the model answers for every place, so that a decision shows
// who made it.
const modelRisk = .0125

// riskModel is a boosted tree as training exports it.
func riskModel() []byte {
	return onnxtest.Model{
		Feature:   slices.Index(engine.FeatureNames(), "price_ratio"),
		Splits:    []onnxtest.Split{{Below: 2, Value: modelRisk}},
		Otherwise: .9,
		Inputs:    len(engine.FeatureList),
	}.Bytes()
}

// onnxLibrary is where `make onnxruntime` puts it.
func onnxLibrary(t *testing.T) string {
	t.Helper()
	root, err := devtest.Root()
	require.NoError(t, err)
	path, err := filepath.EvalSymlinks(filepath.Join(root, "bin", "onnxruntime", "libonnxruntime.so"))
	require.NoError(t, err, "run `make onnxruntime` first")
	_, err = os.Stat(path)
	require.NoError(t, err)
	return path
}

// split finds percentages for a session and agents that it has never seen: below
// the first of them no agent is in the canary, at the second some are.
func split(t *testing.T, session string, members []*member) (none, some int) {
	t.Helper()
	in := func(percent int) (n int) {
		for _, m := range members {
			if mlmodel.InCanary(session, m.id, percent) {
				n++
			}
		}
		return n
	}
	for some = 1; in(some) == 0; some++ {
		none = some
	}
	require.Less(t, some, 100)
	return none, some
}

// TestONNXInTheField takes a model over a fleet that asks: uploaded, validated, in
// the shadow, for some, for none of so small a fleet, and for all.
func TestONNXInTheField(t *testing.T) {
	t.Parallel()
	s := devtest.Start(t, devtest.Options{Environment: map[string]string{"ONNXRUNTIME_LIB": onnxLibrary(t)}})
	ctx := deadline(t, 5*time.Minute)
	f := newField(ctx, t, s)
	require.NoError(t, runJob(ctx, s, f.db, "price-collection"))

	var sent struct{ SessionID, Warning string }
	status, err := s.Upload(ctx, "/api/admin/ml-models/upload", "risk.onnx", riskModel(), &sent)
	require.NoError(t, err)
	require.Equal(t, 200, status)
	require.Empty(t, sent.Warning)
	session := sent.SessionID
	none, some := split(t, session, f.members)
	canary := []int{some}
	if none > 0 {
		canary = []int{none, some}
	}
	begun := time.Now()
	_, err = roll(ctx, s, session, map[string]any{
		"shadow": "4s",
		"canary": canary,
		"step":   "4s",
		"watch":  "4s",
		"guards": map[string]any{"min_decisions": 4, "switches_per_agent_day": 100},
	})
	require.NoError(t, err)
	require.NoError(t, f.has(
		ctx,
		`
		SELECT 'shadow'
		FROM decisions
		WHERE shadow AND engine = 'onnx' AND engine_version = (SELECT version FROM model_sessions WHERE id = $1)
		AND NOT vetoes @? '$[*] ? (@.code == "engine.unavailable" || @.code == "engine.bad_answer")' LIMIT 1`,
		session,
	))
	require.NoError(t, awaitRollout(ctx, s, session, "completed"))
	t.Logf("from upload to the whole fleet by canary steps of %v %% in %s", canary,
		time.Since(begun).Round(time.Second))

	require.Equal(t, []string{"models live " + session}, f.serving(ctx, t))
	// In its canary it decided for those that were in, and for no other agent.
	early, err := f.db.list(
		ctx,
		`
			SELECT DISTINCT agent_id
			FROM decisions
			WHERE engine = 'onnx'
				AND NOT shadow
				AND created_at < (SELECT activated_at FROM model_sessions WHERE id = $1)`,
		session,
	)
	require.NoError(t, err)
	for _, m := range f.members {
		require.Equal(t, mlmodel.InCanary(session, m.id, some), slices.Contains(early, m.id), m.name)
	}

	// From now on it decides for all agents, by what it forecasts.
	for _, m := range f.members {
		var answer struct {
			Engine        string
			EngineVersion string  `json:"engine_version"`
			Risk          float64 `json:"risk_score"`
		}
		require.NoError(t, until(ctx, again, func() (bool, error) {
			err := m.insist(ctx, "POST", m.path("/decide"), map[string]any{
				"instance": map[string]any{"current_mode": "spot"},
				"pricing":  map[string]any{"on_demand_price": .0416, "current_spot_price": .0125},
			}, &answer)
			if err == nil && answer.Engine != "onnx" {
				err = fmt.Errorf("%s decides for %s", answer.Engine, m.name)
			}
			return err == nil, err
		}))
		require.InDelta(t, modelRisk, answer.Risk, 1e-6)
	}
	require.NoError(t, f.has(
		ctx,
		`
			SELECT 'all'
			FROM decisions
			WHERE source = 'schedule'
				AND NOT shadow
				AND engine = 'onnx'
				AND coalesce(last_at, created_at) > $1::timestamptz
			HAVING count(DISTINCT agent_id) = 4`,
		f.lastDecision(ctx, t),
	))
}
