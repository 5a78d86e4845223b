package rollout_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/mlmodel"
	"spotkeeper/workflows"
	"spotkeeper/workflows/rollout"
)

func TestAGoodModelEarnsTheWholeFleet(t *testing.T) {
	t.Parallel()
	r := newRollouts(t)
	begun := r.Now()
	first := r.send(0, rollout.UpdateBegin)
	p := r.roll(t, slowly())

	require.Equal(t, mlmodel.Completed, p.Phase)
	require.Equal(t, []int{0, 10, 50, 100}, r.course())
	require.Equal(t, "new", r.live)
	require.Equal(t, "old", r.previous)
	require.Equal(t, mlmodel.Completed, r.end.Phase)
	require.NoError(t, first.err)
	require.Equal(t, mlmodel.Shadow, first.Phase, "the first answer is when somebody looks at its decisions")
	require.GreaterOrEqual(t, r.Now().Sub(begun), 9*time.Hour, "no stage was cut short")
	require.Less(t, r.Now().Sub(begun), 10*time.Hour)
	require.NotEmpty(t, p.Timeline)
}

// TestABadModelIsTakenBack: whatever a guard sees, and in whichever stage, what
// was live before decides again.
func TestABadModelIsTakenBack(t *testing.T) {
	t.Parallel()
	bad := map[string]struct {
		in   mlmodel.Phase
		why  string
		turn func(*mlmodel.Readings)
	}{
		"fails in the shadow": {mlmodel.Shadow, "shadow decisions failed",
			func(r *mlmodel.Readings) { r.Shadow.Errors = 60 }},
		"fails in the canary": {mlmodel.Canary, "decisions failed", func(r *mlmodel.Readings) { r.Group.Errors = 60 }},
		"moves all the time":  {mlmodel.Canary, "moved", func(r *mlmodel.Readings) { r.Group.Switches = 40 }},
		"spends too much":     {mlmodel.Canary, "cost", func(r *mlmodel.Readings) { r.Group.Spend = 9 }},
		"loses agents live":   {mlmodel.Live, "failovers", func(r *mlmodel.Readings) { r.Group.FailedFailovers = 1 }},
		"fails live":          {mlmodel.Live, "decisions failed", func(r *mlmodel.Readings) { r.Group.Errors = 100 }},
	}
	for name, b := range bad {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRollouts(t)
			r.seen = func(q activities.ReadingsQuery) mlmodel.Readings {
				seen := healthy(q)
				if q.Phase == b.in {
					b.turn(&seen)
				}
				return seen
			}
			p := r.roll(t, slowly())
			require.Equal(t, mlmodel.RolledBack, p.Phase)
			require.Contains(t, p.Detail, b.why)
			require.Equal(t, "old", r.live)
			require.Equal(t, mlmodel.RolledBack, r.end.Phase)
			last := r.states[len(r.states)-1]
			require.Equal(t, b.in, last.Phase, "it came no further than where it was bad")
		})
	}
}

// TestAnAbortInEachPhase leaves things as they were before.
func TestAnAbortInEachPhase(t *testing.T) {
	t.Parallel()
	after := map[mlmodel.Phase]time.Duration{
		mlmodel.Validating: time.Second,
		mlmodel.Shadow:     30 * time.Minute,
		mlmodel.Canary:     2 * time.Hour,
		mlmodel.Live:       6 * time.Hour,
	}
	for phase, d := range after {
		for _, command := range []string{rollout.UpdateAbort, rollout.UpdateRollBack} {
			t.Run(string(phase)+" "+command, func(t *testing.T) {
				t.Parallel()
				r := newRollouts(t)
				if phase == mlmodel.Validating {
					r.trialTakes(time.Minute)
				}
				in := mlmodel.Validating
				r.RegisterDelayedCallback(func() {
					v, err := r.QueryWorkflow(workflows.QueryProgress)
					require.NoError(t, err)
					var p rollout.Progress
					require.NoError(t, v.Get(&p))
					in = p.Phase
				}, d-time.Millisecond)
				answer := r.send(d, command)
				p := r.roll(t, slowly())
				require.Equal(t, phase, in)
				if command == rollout.UpdateRollBack && !phase.Touching() {
					require.Equal(t, mlmodel.WrongPhase, fault.CodeOf(answer.err), "%v", answer.err)
					require.Equal(t, mlmodel.Completed, p.Phase)
					return
				}
				require.NoError(t, answer.err)
				want := map[string]mlmodel.Phase{
					rollout.UpdateAbort:    mlmodel.Aborted,
					rollout.UpdateRollBack: mlmodel.RolledBack,
				}[command]
				require.Equal(t, want, answer.Phase, "the answer comes when it is done")
				require.Equal(t, want, p.Phase)
				require.Equal(t, want, r.end.Phase)
				require.Equal(t, "old", r.live)
				require.Contains(t, p.Detail, "ann")
			})
		}
	}
}

func TestTheImmediatePlanAnswersWhenItIsLive(t *testing.T) {
	t.Parallel()
	r := newRollouts(t)
	r.watched = "older"
	first := r.send(0, rollout.UpdateBegin)
	begun := r.Now()
	p := r.roll(t, mlmodel.Immediate())
	require.NoError(t, first.err)
	require.Equal(t, mlmodel.Live, first.Phase)
	require.Equal(t, "onnx", first.Validation.Runner)
	require.Less(t, first.at.Sub(begun), time.Minute)
	require.Equal(t, mlmodel.Completed, p.Phase)
	require.GreaterOrEqual(t, r.Now().Sub(begun), 30*time.Minute, "it is watched for half an hour")
	require.Equal(t, []string{"older after 1"}, r.nudged)
}

func TestARefusedSessionTouchesNothing(t *testing.T) {
	t.Parallel()
	r := newRollouts(t)
	r.watched = "older"
	r.trial = func(context.Context) error { return mlmodel.Refused.New("It failed in 60 of 60 decisions") }
	first := r.send(0, rollout.UpdateBegin)
	p := r.roll(t, mlmodel.Immediate())
	require.Equal(t, mlmodel.Refused, fault.CodeOf(first.err), "%v", first.err)
	require.Equal(t, mlmodel.Rejected, p.Phase)
	require.Equal(t, "It failed in 60 of 60 decisions", p.Error)
	require.Equal(t, "old", r.live)
	require.Empty(t, r.states)
	require.False(t, r.end.Keep)
	require.Equal(t, "older", r.watched, "who was watched is watched on")
	require.Empty(t, r.nudged)

	r = newRollouts(t)
	r.opening = mlmodel.Busy.New("Another rollout is under way")
	first = r.send(0, rollout.UpdateBegin)
	require.Equal(t, mlmodel.Rejected, r.roll(t, slowly()).Phase)
	require.Equal(t, mlmodel.Busy, fault.CodeOf(first.err), "%v", first.err)
}

func TestAPauseStopsTheClockAndNotTheGuards(t *testing.T) {
	t.Parallel()
	r := newRollouts(t)
	begun := r.Now()
	paused := r.send(30*time.Minute, rollout.UpdatePause)
	resumed := r.send(30*time.Minute+10*time.Hour, rollout.UpdateResume)
	r.roll(t, slowly())
	require.NoError(t, paused.err)
	require.True(t, paused.Paused)
	require.NoError(t, resumed.err)
	require.False(t, resumed.Paused)
	require.GreaterOrEqual(t, r.Now().Sub(begun), 19*time.Hour, "ten hours of pause come on top")

	r = newRollouts(t)
	r.send(2*time.Hour, rollout.UpdatePause)
	r.seen = func(q activities.ReadingsQuery) mlmodel.Readings {
		seen := healthy(q)
		if r.Now().Sub(q.Since) > 3*time.Hour { // a stage lasts two
			seen.Group.FailedFailovers = 1
		}
		return seen
	}
	require.Equal(t, mlmodel.RolledBack, r.roll(t, slowly()).Phase)
}

func TestAPromotionSkipsTheRestOfAStage(t *testing.T) {
	t.Parallel()
	r := newRollouts(t)
	begun := r.Now()
	var answers []*sentUpdate
	for i := range 4 {
		answers = append(answers, r.send(time.Duration(i+1)*time.Minute, rollout.UpdatePromote))
	}
	p := r.roll(t, slowly())
	require.Equal(t, mlmodel.Completed, p.Phase)
	require.Less(t, r.Now().Sub(begun), 10*time.Minute)
	for i, percent := range []int{10, 50, 100, 100} {
		require.NoError(t, answers[i].err)
		require.Equal(t, percent, answers[i].Percent, "the answer comes when the next stage has begun")
	}
	require.Equal(t, []int{0, 10, 50, 100}, r.course())
}

func TestWhatHasNotDecidedEnoughStays(t *testing.T) {
	t.Parallel()
	r := newRollouts(t)
	begun := r.Now()
	r.seen = func(q activities.ReadingsQuery) mlmodel.Readings {
		seen := healthy(q)
		if q.Phase == mlmodel.Canary && r.Now().Sub(begun) < 20*time.Hour {
			seen.Group.Decisions = 3
		}
		return seen
	}
	require.Equal(t, mlmodel.Completed, r.roll(t, slowly()).Phase)
	require.Greater(t, r.Now().Sub(begun), 20*time.Hour)
}

// TestAStepThatIsNobodyIsPassed: waiting would not put an agent into it.
func TestAStepThatIsNobodyIsPassed(t *testing.T) {
	t.Parallel()
	r := newRollouts(t)
	r.seen = func(q activities.ReadingsQuery) mlmodel.Readings {
		seen := healthy(q)
		if q.Percent == 10 {
			seen.Group = mlmodel.Measure{}
		}
		return seen
	}
	p := r.roll(t, slowly())
	require.Equal(t, mlmodel.Completed, p.Phase)
	require.Equal(t, []int{0, 10, 50, 100}, r.course())
	var told []string
	for _, e := range p.Timeline {
		told = append(told, e.Detail)
	}
	require.Contains(t, told, "no agent is among its 10 %: nothing was learnt")
}

func TestBlindGuardsLookAgain(t *testing.T) {
	t.Parallel()
	r := newRollouts(t)
	r.blind = 7
	require.Equal(t, mlmodel.Completed, r.roll(t, slowly()).Phase)
}

func TestACancelledWorkflowPutsBack(t *testing.T) {
	t.Parallel()
	r := newRollouts(t)
	r.RegisterDelayedCallback(r.CancelWorkflow, 6*time.Hour)
	p := r.roll(t, slowly())
	require.Equal(t, mlmodel.Aborted, p.Phase)
	require.Equal(t, "old", r.live)
}

func TestALongRolloutContinuesAsNew(t *testing.T) {
	t.Parallel()
	r := newRollouts(t)
	r.SetContinueAsNewSuggested(true)
	r.ExecuteWorkflow(rollout.ModelRollout, rollout.Input{
		SessionID: "new",
		Plan:      slowly(),
		RequestID: "first",
	})
	var next *workflow.ContinueAsNewError
	require.ErrorAs(t, r.GetWorkflowError(), &next)
	var in rollout.Input
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(next.Input, &in))
	require.Equal(t, mlmodel.Shadow, in.Carried.Phase)
	require.Positive(t, in.Carried.Elapsed)

	later := newRollouts(t)
	later.open, later.states = true, r.states
	begun := later.Now()
	later.ExecuteWorkflow(rollout.ModelRollout, in)
	require.NoError(t, later.GetWorkflowError())
	require.Equal(t, []int{0, 10, 50, 100}, later.course())
	require.Less(t, later.Now().Sub(begun), 9*time.Hour, "what was waited for counts")
	require.Equal(t, "new", later.live)
}
