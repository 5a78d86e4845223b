package rollout_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/testsuite"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/mlmodel"
	"spotkeeper/internal/testkit/temporaltest"
	"spotkeeper/workflows/rollout"
)

// rollouts is the surroundings of a ModelRollout in memory: a store with one live
// session, a trial, and what the guards see.
type rollouts struct {
	row *activities.RolloutRow // of a rollout whose workflow was missing
	*testsuite.TestWorkflowEnvironment
	mu       sync.Mutex
	live     string
	previous string
	open     bool
	states   []activities.RolloutState
	end      *activities.EndRollout
	nudged   []string // who, and after how many stages

	watched  string // the session that is only watched, until another takes a stage
	opening  error
	entering error // why no stage can be taken
	trial    func(context.Context) error
	seen     func(q activities.ReadingsQuery) mlmodel.Readings
	blind    int // looks that fail first
}

func newRollouts(t *testing.T) *rollouts {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	r := &rollouts{TestWorkflowEnvironment: suite.NewTestWorkflowEnvironment(), live: "old", seen: healthy}
	r.SetWorkerOptions(temporaltest.WorkerOptions())
	r.SetTestTimeout(20 * time.Second)
	r.RegisterWorkflow(rollout.ModelRollout)
	r.RegisterActivity(&activities.Rollouts{Store: r, Trial: r, Desk: r})
	return r
}

// healthy is a group that no guard has anything against.
func healthy(q activities.ReadingsQuery) mlmodel.Readings {
	return mlmodel.Readings{
		Since: q.Since, Span: time.Hour,
		Group:  mlmodel.Measure{Agents: 10, Decisions: 120, Switches: 1, Spend: 3, Reference: 10},
		Others: mlmodel.Measure{Agents: 90, Decisions: 900, Switches: 9, Spend: 30, Reference: 100},
		Shadow: mlmodel.Comparison{Pairs: 100, Agree: 97, Regret: -.001},
	}
}

func (r *rollouts) Session(context.Context, string) (*mlmodel.Session, error) {
	return &mlmodel.Session{ID: "new"}, nil
}

func (r *rollouts) Row(context.Context, string) (*activities.RolloutRow, error) {
	if r.row == nil {
		return nil, mlmodel.NotFound.New("no rollout")
	}
	return r.row, nil
}

func (r *rollouts) Open(context.Context, activities.OpenRollout) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open = r.opening == nil
	return r.opening
}

// take is how a stage is taken; call it with the lock.
func (r *rollouts) take() (out activities.StageTaken, err error) {
	if !r.open {
		return out, mlmodel.WrongPhase.New("ended")
	}
	if r.entering != nil {
		return out, r.entering
	}
	out.Superseded, r.watched = r.watched, ""
	return out, nil
}

func (r *rollouts) Record(_ context.Context, in activities.RolloutState) (activities.StageTaken, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out, err := r.take()
	if err == nil {
		r.states = append(r.states, in)
	}
	return out, err
}

func (r *rollouts) Validated(context.Context, activities.Validation) error { return nil }

func (r *rollouts) GoLive(_ context.Context, sessionID string) (activities.StageTaken, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out, err := r.take()
	if err == nil && r.live != sessionID {
		r.live, r.previous = sessionID, r.live
	}
	return out, err
}

func (r *rollouts) Undo(_ context.Context, sessionID string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.open {
		return mlmodel.WrongPhase.New("ended")
	}
	if r.live == sessionID {
		r.live = r.previous
	}
	return nil
}

func (r *rollouts) End(_ context.Context, in activities.EndRollout) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open {
		r.open, r.end = false, &in
	}
	return nil
}

func (r *rollouts) Readings(_ context.Context, q activities.ReadingsQuery) (mlmodel.Readings, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.blind > 0 {
		r.blind--
		return mlmodel.Readings{}, mlmodel.LoadFailed.New("the database is away")
	}
	if !r.open {
		return mlmodel.Readings{Gone: true}, nil
	}
	return r.seen(q), nil
}

func (r *rollouts) Try(ctx context.Context, s mlmodel.Session) (activities.Validation, error) {
	v := activities.Validation{
		SessionID: s.ID,
		Runner:    "onnx",
		Version:   "abc",
		Decisions: 1000,
		Total:     90,
		Never:     100,
		Rules:     91,
	}
	if r.trial == nil {
		return v, nil
	}
	return v, r.trial(ctx)
}

// trialTakes lets the trial end after so long of the workflow's time.
func (r *rollouts) trialTakes(d time.Duration) {
	var token []byte
	r.trial = func(ctx context.Context) error {
		token = activity.GetInfo(ctx).TaskToken
		return activity.ErrResultPending
	}
	r.RegisterDelayedCallback(func() { _ = r.CompleteActivity(token, activities.Validation{Runner: "onnx"}, nil) }, d)
}

func (r *rollouts) NudgeRollout(_ context.Context, sessionID string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.nudged = append(r.nudged, fmt.Sprintf("%s after %d", sessionID, len(r.states)))
	return nil
}

// sentUpdate is the answer of an update.
type sentUpdate struct {
	rollout.Progress
	err  error
	done bool
	at   time.Time
}

// send sends a command after d.
func (r *rollouts) send(d time.Duration, command string) *sentUpdate {
	out := &sentUpdate{}
	r.RegisterDelayedCallback(func() {
		r.UpdateWorkflow(command, command+d.String(), &testsuite.TestUpdateCallback{
			OnAccept: func() {},
			OnReject: func(err error) { out.err, out.done = err, true },
			OnComplete: func(v any, err error) {
				out.err, out.done, out.at = err, true, r.Now()
				if p, ok := v.(*rollout.Progress); ok && p != nil {
					out.Progress = *p
				}
			},
		}, rollout.Command{By: "ann", RequestID: "first"})
	}, d)
	return out
}

// roll runs the rollout of session "new" to its end.
func (r *rollouts) roll(t *testing.T, plan mlmodel.Plan) rollout.Progress {
	t.Helper()
	r.ExecuteWorkflow(rollout.ModelRollout, rollout.Input{
		SessionID: "new",
		Plan:      plan,
		By:        "ann",
		RequestID: "first",
	})
	require.True(t, r.IsWorkflowCompleted())
	require.NoError(t, r.GetWorkflowError())
	var p rollout.Progress
	require.NoError(t, r.GetWorkflowResult(&p))
	return p
}

// course lists the stages that processes were given.
func (r *rollouts) course() (out []int) {
	for i, s := range r.states {
		if i == 0 || s.Percent != r.states[i-1].Percent {
			out = append(out, s.Percent)
		}
	}
	return out
}

func slowly() mlmodel.Plan {
	return mlmodel.Plan{
		Shadow: time.Hour,
		Canary: []int{10, 50},
		Step:   2 * time.Hour,
		Watch:  4 * time.Hour,
		Guards: mlmodel.DefaultGuards(),
	}
}
