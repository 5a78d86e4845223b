package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/agent"
	"spotkeeper/internal/fault"
	"spotkeeper/internal/interruption"
	"spotkeeper/internal/replica"
	"spotkeeper/internal/roles"
	"spotkeeper/workflows"
)

// lost is the notice of the primary, two minutes before its end.
func lost(w *world, result interruption.Result) workflows.TerminationInput {
	deadline := w.Now().Add(interruption.Lead)
	in := workflows.TerminationInput{Keeping: agent.KeepAuto, Launcher: agent.ControlPlane, CallOff: []string{"switch/cmd"},
		Notice:  interruption.Notice{AgentID: "a1", InstanceID: "i-old", Kind: interruption.Termination, Deadline: deadline},
		Outcome: interruption.Outcome{InstanceID: "i-old", Kind: interruption.Termination, Deadline: deadline, Result: result}}
	if result == interruption.Promoted {
		in.Outcome.ReplicaID, in.Outcome.NewPrimary = "r1", "i-new"
	}
	return in
}

func (w *world) terminate(t *testing.T, in workflows.TerminationInput) (workflows.TerminationResult, error) {
	t.Helper()
	w.ExecuteWorkflow(workflows.Termination, in)
	require.True(t, w.IsWorkflowCompleted())
	var res workflows.TerminationResult
	err := w.GetWorkflowError()
	if err == nil {
		require.NoError(t, w.GetWorkflowResult(&res))
	}
	return res, err
}

func TestATerminationCaresForWhatAFailoverLeaves(t *testing.T) {
	t.Parallel()

	w := newWorld(t, newStore())
	w.after(150*time.Second, func() { w.cloud.end("i-old") })
	res, err := w.terminate(t, lost(w, interruption.Promoted))
	require.NoError(t, err)
	require.Equal(t, interruption.Lead, res.Left)
	require.Equal(t, []activities.CallOff{{OperationID: "switch/cmd", Why: "AWS takes i-old"}}, w.post.callOffs)
	require.Equal(t, replica.Promoted, w.post.releases[0].As)
	require.Equal(t, []string{"failed over"}, w.post.wakes)
	require.True(t, w.pages.has("i-old is gone", "done"))
	require.True(t, w.pages.has("look at i-new", "done"))
	require.Empty(t, w.cloud.ended, "AWS ends it: the first hour is then free")
	require.Equal(t, "succeeded", w.pages.last().State)
	for _, s := range w.pages.steps {
		require.NotNil(t, s.SecondsLeft, s.Name)
	}
}

func TestATerminationIsToldOfALateHeir(t *testing.T) {
	t.Parallel()

	w := newWorld(t, newStore())
	in := lost(w, interruption.Undecided)
	w.after(115*time.Second, func() {
		o := lost(w, interruption.Promoted).Outcome
		w.SignalWorkflow(workflows.SignalNews, activities.News{Outcome: &o})
	})
	w.after(3*time.Minute, func() { w.cloud.end("i-old") })
	res, err := w.terminate(t, in)
	require.NoError(t, err)
	require.Equal(t, interruption.Promoted, res.Outcome.Result)
	require.Equal(t, 5*time.Second, res.Left)
	require.True(t, w.pages.has("look at i-new", "dropped"), "no time was left for it")
	require.Equal(t, "r1", w.post.releases[0].ReplicaID)
}

func TestATerminationReadsForItselfWhenNobodyTellsIt(t *testing.T) {
	t.Parallel()

	s := newStore()
	w := newWorld(t, s)
	in := lost(w, interruption.Undecided)
	w.cloud.end("i-old")
	w.after(time.Minute, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.set.Outcomes = []interruption.Outcome{lost(w, interruption.Promoted).Outcome}
	})
	res, err := w.terminate(t, in)
	require.NoError(t, err)
	require.Equal(t, "i-new", res.Outcome.NewPrimary)
}

func TestATerminationWithoutAnHeirSaysSo(t *testing.T) {
	t.Parallel()

	s := newStore()
	w := newWorld(t, s)
	in := lost(w, interruption.Undecided)
	s.set.Outcomes = []interruption.Outcome{in.Outcome}
	w.after(125*time.Second, func() {
		_, err := s.DecideNotice(w.ctx, activities.Decision{Notice: in.Notice, Result: interruption.Lost})
		require.NoError(t, err)
	})
	res, err := w.terminate(t, in)
	require.NoError(t, err)
	require.Equal(t, interruption.Lost, res.Outcome.Result)
	end := w.pages.last()
	require.Equal(t, "failed", end.State)
	require.Equal(t, "critical", end.Severity)
	require.True(t, w.pages.has("lost", "started"))
}

func TestATerminationGoesOnWhenItsMessagesAreSlow(t *testing.T) {
	t.Parallel()

	w := newWorld(t, newStore())
	w.post.failures = 3
	w.cloud.end("i-old")
	_, err := w.terminate(t, lost(w, interruption.Promoted))
	require.NoError(t, err)
	require.Len(t, w.post.releases, 1)
}

func TestATerminationOfAnAgentsOwnInstanceWatchesNothing(t *testing.T) {
	t.Parallel()

	w := newWorld(t, newStore())
	in := lost(w, interruption.Promoted)
	in.Launcher = agent.ByAgent
	_, err := w.terminate(t, in)
	require.NoError(t, err)
	require.True(t, w.pages.has("watch i-old", "dropped"))
}

func promotionIn(fate roles.Fate) workflows.PromotionInput {
	return workflows.PromotionInput{Change: roles.Change{AgentID: "a1", OldID: "i-old", NewID: "i-new", ReplicaID: "r1", Fate: fate, Cause: roles.ByPromotion}}
}

func (w *world) promote(t *testing.T, in workflows.PromotionInput) error {
	t.Helper()
	w.ExecuteWorkflow(workflows.Promotion, in)
	require.True(t, w.IsWorkflowCompleted())
	return w.GetWorkflowError()
}

func TestThePromotionsAftercare(t *testing.T) {
	t.Parallel()

	for fate, ended := range map[roles.Fate][]string{roles.Retire: {"i-old"}, roles.Demote: nil, roles.Keep: nil, roles.Leave: nil} {
		t.Run(string(fate), func(t *testing.T) {
			t.Parallel()

			s := newStore()
			s.set.Primary.ID = "i-new"
			w := newWorld(t, s)
			in := promotionIn(fate)
			in.Changed = true
			require.NoError(t, w.promote(t, in))
			require.Equal(t, ended, w.cloud.ended)
			require.Equal(t, replica.Promoted, w.post.releases[0].As)
			require.Equal(t, []string{"promoted"}, w.post.wakes)
			require.Equal(t, "succeeded", w.pages.last().State)
		})
	}
}

func TestAPromotionWaitsUntilItsReplicaIsReady(t *testing.T) {
	t.Parallel()

	s := newStore().with(roles.Replica{ID: "r1", Kind: replica.Manual, State: replica.Running, InstanceID: "i-new"})
	w := newWorld(t, s)
	began := w.Now()
	w.after(100*time.Second, func() {
		_, err := s.Advance(w.ctx, roles.Step{ReplicaID: "r1", To: replica.Ready})
		require.NoError(t, err)
		w.SignalWorkflow(workflows.SignalNews, activities.News{State: replica.Ready})
	})
	in := promotionIn(roles.Retire)
	in.Wait = 5 * time.Minute
	require.NoError(t, w.promote(t, in))
	require.Equal(t, "i-new", s.view().Primary.ID)
	require.Equal(t, []string{"i-old"}, w.cloud.ended)
	require.Equal(t, 100*time.Second, w.Now().Sub(began).Round(time.Second), "it was told")
}

func TestAPromotionThatJudgesAStaleEpochAgain(t *testing.T) {
	t.Parallel()

	s := newStore().with(standby())
	s.stale = 2
	w := newWorld(t, s)
	in := promotionIn(roles.Keep)
	in.Wait = time.Minute
	require.NoError(t, w.promote(t, in))
	require.Equal(t, 1, s.changes())
}

func TestAPromotionThatCannotBe(t *testing.T) {
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
		}, workflows.Cancelled},
		"cancelled": {newStore().with(running), func(w *world) { w.after(time.Minute, w.CancelWorkflow) }, workflows.Cancelled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t, c.store)
			c.do(w)
			in := promotionIn(roles.Retire)
			in.Wait = 5 * time.Minute
			require.Equal(t, c.code, fault.CodeOf(w.promote(t, in)))
			require.Zero(t, c.store.changes())
			require.Empty(t, w.cloud.ended)
		})
	}
}

func TestARemovalEndsWhatIsLeft(t *testing.T) {
	t.Parallel()

	s := newStore()
	s.set.Primary, s.set.Deleted = roles.Instance{}, true
	w := newWorld(t, s)
	w.ExecuteWorkflow(workflows.Removal, workflows.RemovalInput{AgentID: "a1", CallOff: []string{"switch/cmd"}, Replicas: []string{"r1"}, Instances: []string{"i-1", "i-2"}})
	require.NoError(t, w.GetWorkflowError())
	require.ElementsMatch(t, []string{"i-1", "i-2"}, w.cloud.ended)
	require.Equal(t, "r1", w.post.releases[0].ReplicaID)
	require.Len(t, w.post.callOffs, 1)
	require.Equal(t, "succeeded", w.pages.last().State)
}

func TestARemovalThatCannotEndAnInstanceSaysSo(t *testing.T) {
	t.Parallel()

	s := newStore()
	s.set.Primary = roles.Instance{}
	w := newWorld(t, s)
	w.cloud.refuse = replica.Refused
	w.ExecuteWorkflow(workflows.Removal, workflows.RemovalInput{AgentID: "a1", Instances: []string{"i-1"}})
	require.Equal(t, workflows.UndoFailed, fault.CodeOf(w.GetWorkflowError()))
	require.Equal(t, "failed", w.pages.last().State)
}
