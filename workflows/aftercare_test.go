package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/workflows"
	"spotkeeper/workflows/steps"
)

// lost makes the notice of the primary durable, two minutes before its end. With a
// result of promoted i-new took over at once.
func (w *world) lost(result interruption.Result) {
	o := w.store.outcome(interruption.Notice{
		InstanceID: "i-old",
		Kind:       interruption.Termination,
		Deadline:   w.Now().Add(interruption.NoticeLead),
	})
	if result == interruption.Promoted {
		w.store.changedAt = w.Now()
		w.store.set.Primary.ID = "i-new"
		o.Result, o.ReplicaID, o.NewPrimary = result, "r1", "i-new"
	}
}

func (w *world) terminate(t *testing.T) (workflows.TerminationResult, error) {
	t.Helper()
	w.ExecuteWorkflow(workflows.Termination, workflows.TerminationInput{AgentID: "a1", InstanceID: "i-old"})
	require.True(t, w.IsWorkflowCompleted())
	var res workflows.TerminationResult
	err := w.GetWorkflowError()
	if err == nil {
		require.NoError(t, w.GetWorkflowResult(&res))
	}
	return res, err
}

func TestTerminationCaresForWhatAFailoverLeaves(t *testing.T) {
	t.Parallel()

	w := newWorld(t, newStore())
	w.lost(interruption.Promoted)
	w.store.switches = []string{"switch/cmd"}
	w.after(130*time.Second, func() { w.cloud.end("i-old") })
	res, err := w.terminate(t)
	require.NoError(t, err)
	require.Equal(t, interruption.NoticeLead, res.Left)
	require.Equal(t, "2m0s", res.LeftText, "the Temporal UI shows the other one in nanoseconds")
	require.Equal(t, 1, w.post.nudged("switch/cmd"), "the switch reads that it is called off")
	require.Equal(t, 1, w.post.nudged("replica/r1"))
	require.True(t, w.pages.has("notice durable", "done"))
	require.True(t, w.pages.has("primary changed", "done"))
	require.True(t, w.pages.has("i-old is gone", "done"))
	require.Equal(t, 1, w.cloud.looks, "one, when it should have gone")
	require.Empty(t, w.cloud.ended, "AWS ends it: the first hour is then free")
	require.Equal(t, "succeeded", w.pages.last().State)
	for _, s := range w.pages.steps {
		require.NotNil(t, s.SecondsLeft, s.Name)
	}
}

// TestTerminationReadsALateSuccessor: a message says only that there is something to
// read.
func TestTerminationReadsALateSuccessor(t *testing.T) {
	t.Parallel()

	w := newWorld(t, newStore())
	w.lost(interruption.Undecided)
	w.after(115*time.Second, func() {
		w.lost(interruption.Promoted)
		w.SignalWorkflow(workflows.SignalNews, nil)
	})
	w.after(3*time.Minute, func() { w.cloud.end("i-old") })
	res, err := w.terminate(t)
	require.NoError(t, err)
	require.Equal(t, interruption.Promoted, res.Outcome.Result)
	require.Equal(t, 5*time.Second, res.Left.Round(time.Second))
	require.Equal(t, 1, w.post.nudged("replica/r1"))
}

// TestTerminationWakesTheGuardian when a successor should have its instance, in time
// for a last resort and at the deadline.
func TestTerminationWakesTheGuardian(t *testing.T) {
	t.Parallel()

	w := newWorld(t, newStore())
	w.lost(interruption.Undecided)
	var early, stalled, margin, late int
	for at, n := range map[time.Duration]*int{
		19 * time.Second:  &early,
		21 * time.Second:  &stalled,
		111 * time.Second: &margin,
		121 * time.Second: &late,
	} {
		w.after(at, func() {
			w.post.mu.Lock()
			defer w.post.mu.Unlock()
			*n = len(w.post.wakes)
		})
	}
	w.after(122*time.Second, func() {
		w.lost(interruption.Promoted)
		w.cloud.end("i-old")
	})
	res, err := w.terminate(t)
	require.NoError(t, err)
	require.Equal(t, "i-new", res.Outcome.NewPrimary, "it reads for itself when no message comes")
	require.Equal(t, []int{0, 1, 2, 3}, []int{early, stalled, margin, late})
}

func TestTerminationWithoutASuccessorSaysSo(t *testing.T) {
	t.Parallel()

	w := newWorld(t, newStore())
	w.lost(interruption.Undecided)
	w.after(125*time.Second, func() {
		w.store.outcome(interruption.Notice{
			InstanceID: "i-old",
			Kind:       interruption.Termination,
		}).Result = interruption.Lost
	})
	res, err := w.terminate(t)
	require.NoError(t, err)
	require.Equal(t, interruption.Lost, res.Outcome.Result)
	end := w.pages.last()
	require.Equal(t, "failed", end.State)
	require.Equal(t, "critical", end.Severity)
	require.Contains(t, end.Notify, "web", "people know the agent by its name")
	require.True(t, w.pages.has("lost", "started"))
}

func TestTerminationGoesOnWhenMessagesGetLost(t *testing.T) {
	t.Parallel()

	w := newWorld(t, newStore())
	w.lost(interruption.Promoted)
	w.post.failures = 1000
	w.cloud.end("i-old")
	_, err := w.terminate(t)
	require.NoError(t, err)
	require.Equal(t, "succeeded", w.pages.last().State)
}

func TestTerminationOfAnAgentsOwnInstanceWatchesNothing(t *testing.T) {
	t.Parallel()

	w := newWorld(t, newStore())
	w.store.set.Launcher = agent.ByAgent
	w.lost(interruption.Promoted)
	_, err := w.terminate(t)
	require.NoError(t, err)
	require.True(t, w.pages.has("watch i-old", "dropped"))
}

// TestTerminationEndsAnInstanceThatOnlyStopped: a stopped one still costs, and could
// come back beside its successor. The orphan sweep is the second line.
func TestTerminationEndsAnInstanceThatOnlyStopped(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		refuse fault.Code
		ended  []string
		step   string
	}{
		"it is terminated": {"", []string{"i-old"}, "done"},
		"EC2 refuses":      {replica.Refused, nil, "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t, newStore())
			w.lost(interruption.Promoted)
			w.cloud.refuse = tt.refuse
			w.OnActivity("AwaitGone", anything, anything).
				Return(&activities.InstanceState{State: activities.StateStopped}, nil)
			_, err := w.terminate(t)
			require.NoError(t, err)
			require.True(t, w.pages.has("i-old has stopped", "done"))
			require.True(t, w.pages.has("terminate i-old", tt.step))
			require.Equal(t, tt.ended, w.cloud.ended)
			require.Equal(t, "succeeded", w.pages.last().State)
		})
	}
}

// TestTerminationReportsAnInstanceThatAWSDoesNotTake: a person ends it or keeps it. One that
// goes late goes without a person.
func TestTerminationReportsAnInstanceThatAWSDoesNotTake(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		decide string // by a person, ten minutes after the notice
		ended  []string
		step   string
		took   time.Duration
	}{
		"a person ends it":  {"us", []string{"i-old"}, "terminate i-old", 10 * time.Minute},
		"a person keeps it": {"nobody", nil, "i-old is kept", 10 * time.Minute},
		"it goes late":      {"", nil, "i-old is gone", 30 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t, newStore())
			began := w.Now()
			w.lost(interruption.Promoted)
			var early, late string
			w.after(4*time.Minute+50*time.Second, func() { early = w.pages.warned() })
			w.after(5*time.Minute+10*time.Second, func() { late = w.pages.warned() })
			w.after(10*time.Minute, func() {
				w.store.mu.Lock()
				w.store.leftOver = c.decide
				w.store.mu.Unlock()
				w.SignalWorkflow(workflows.SignalNews, nil)
			})
			w.after(30*time.Minute, func() { w.cloud.end("i-old") })
			_, err := w.terminate(t)
			require.NoError(t, err)
			require.Empty(t, early)
			require.Contains(t, late, "i-new is the primary of web")
			require.True(t, w.pages.has("not_taken", "started"))
			require.True(t, w.pages.has(c.step, "done"))
			require.Equal(t, c.ended, w.cloud.ended)
			require.Equal(t, "succeeded", w.pages.last().State)
			require.InDelta(t, c.took, w.Now().Sub(began), float64(time.Minute))
		})
	}
}

// TestTerminationThatBeginsLate goes on from where its row stands: all of it is over.
func TestTerminationThatBeginsLate(t *testing.T) {
	t.Parallel()

	for name, result := range map[string]interruption.Result{
		"another decision closed it": interruption.NotPrimary,
		"promoted":                   interruption.Promoted,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t, newStore())
			w.lost(result)
			o := w.store.outcome(interruption.Notice{InstanceID: "i-old", Kind: interruption.Termination})
			o.Result, o.Deadline = result, w.Now().Add(-time.Hour)
			w.cloud.end("i-old")
			_, err := w.terminate(t)
			require.NoError(t, err)
			require.Equal(t, "succeeded", w.pages.last().State)
		})
	}
	w := newWorld(t, newStore())
	_, err := w.terminate(t)
	require.NoError(t, err, "there is no such notice any more")
	require.Equal(t, "succeeded", w.pages.last().State)
}

// wanted stores a person's request for r1.
func (w *world) wanted(demote bool, wait time.Duration) {
	_, err := w.store.WantPromotion(w.ctx, roles.PromotionWish{
		AgentID:   "a1",
		ReplicaID: "r1",
		Demote:    demote,
		Wait:      wait,
		By:        "ada",
	})
	if err != nil {
		panic(err)
	}
}

func (w *world) promote(t *testing.T) error {
	t.Helper()
	w.ExecuteWorkflow(workflows.Promotion, workflows.PromotionInput{AgentID: "a1", ReplicaID: "r1"})
	require.True(t, w.IsWorkflowCompleted())
	return w.GetWorkflowError()
}

// TestPromotionThatBeginsLate ends the old primary although the process that changed
// the roles died before it started anything.
func TestPromotionThatBeginsLate(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		demote, auto bool
		ended        []string
	}{
		"retired": {false, true, []string{"i-old"}}, "demoted": {true, true, nil}, "kept": {false, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			s := newStore().with(standby())
			s.set.AutoTerminate = tt.auto
			w := newWorld(t, s)
			w.wanted(tt.demote, time.Minute)
			set := s.view()
			_, err := s.ChangeRoles(w.ctx, set.Promote(set.Replicas[0], tt.demote))
			require.NoError(t, err)
			require.NoError(t, w.promote(t))
			require.Equal(t, tt.ended, w.cloud.ended)
			require.Equal(t, "succeeded", w.pages.last().State)
			require.Equal(t, 1, s.changes())
		})
	}
}

func TestPromotionWaitsUntilItsReplicaIsReady(t *testing.T) {
	t.Parallel()

	s := newStore().with(roles.Replica{ID: "r1", Kind: replica.Manual, State: replica.Running, InstanceID: "i-new"})
	w := newWorld(t, s)
	w.wanted(false, 5*time.Minute)
	began := w.Now()
	w.after(100*time.Second, func() {
		_, err := s.Advance(w.ctx, roles.ReplicaTransition{ReplicaID: "r1", To: replica.Ready})
		require.NoError(t, err)
		w.SignalWorkflow(workflows.SignalNews, nil)
	})
	require.NoError(t, w.promote(t))
	require.Equal(t, "i-new", s.view().Primary.ID)
	require.Equal(t, []string{"i-old"}, w.cloud.ended)
	require.Equal(t, 100*time.Second, w.Now().Sub(began).Round(time.Second), "a message had it read at once")
	require.Equal(t, []string{"promoted"}, w.post.wakes)
}

// TestPromotionThatAFailoverAnsweredIsOver: its replica is primary already, and AWS
// ends the old instance.
func TestPromotionThatAFailoverAnsweredIsOver(t *testing.T) {
	t.Parallel()

	s := newStore().with(standby())
	w := newWorld(t, s)
	w.wanted(false, time.Minute)
	set := s.view()
	_, err := s.ChangeRoles(w.ctx, set.FailOver(set.Replicas[0]))
	require.NoError(t, err)
	require.NoError(t, w.promote(t))
	require.Empty(t, w.cloud.ended)
	require.Equal(t, "succeeded", w.pages.last().State)
}

// TestPromotionPausesWhenAnotherDecisionIsFaster, and gives up in the end.
func TestPromotionPausesWhenAnotherDecisionIsFaster(t *testing.T) {
	t.Parallel()

	s := newStore().with(standby())
	s.stale = 2
	w := newWorld(t, s)
	w.wanted(false, time.Minute)
	began := w.Now()
	require.NoError(t, w.promote(t))
	require.Equal(t, 1, s.changes())
	require.GreaterOrEqual(t, w.Now().Sub(began), 2*time.Second)

	s = newStore().with(standby())
	s.stale = 1000
	w = newWorld(t, s)
	w.wanted(false, time.Minute)
	require.Equal(t, roles.StaleEpoch, fault.CodeOf(w.promote(t)))
	require.Equal(t, 990, s.stale)
}

func TestPromotionThatCannotBe(t *testing.T) {
	t.Parallel()

	running := roles.Replica{ID: "r1", Kind: replica.Manual, State: replica.Running, InstanceID: "i-new"}
	for name, c := range map[string]struct {
		store *store
		do    func(w *world)
		code  fault.Code
	}{
		"never ready": {newStore().with(running), func(*world) {}, replica.NotReady},
		"gone":        {newStore(), func(*world) {}, replica.NotFound},
		"called off": {newStore().with(running), func(w *world) {
			update[workflows.OperationAnswer](w, time.Minute, workflows.UpdateCancel, "u", workflows.CancelInput{})
		}, steps.Cancelled},
		"cancelled": {newStore().with(running), func(w *world) { w.after(time.Minute, w.CancelWorkflow) },
			steps.Cancelled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t, c.store)
			w.wanted(false, 5*time.Minute)
			c.do(w)
			require.Equal(t, c.code, fault.CodeOf(w.promote(t)))
			require.Zero(t, c.store.changes())
			require.Empty(t, w.cloud.ended)
		})
	}
}
