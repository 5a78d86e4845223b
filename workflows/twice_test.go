package workflows_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"

	"spotkeeper/internal/agent"
	"spotkeeper/internal/interruption"
	"spotkeeper/internal/replica"
	"spotkeeper/internal/roles"
	"spotkeeper/internal/switching"
	"spotkeeper/internal/temporalx"
	"spotkeeper/workflows"
)

// twice runs every activity two times and believes the second: what happens when
// a worker dies after each of them, before it could say so.
type twice struct {
	interceptor.WorkerInterceptorBase
}

func (*twice) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	return &twiceActivity{interceptor.ActivityInboundInterceptorBase{Next: next}}
}

type twiceActivity struct {
	interceptor.ActivityInboundInterceptorBase
}

func (a *twiceActivity) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	_, _ = a.Next.ExecuteActivity(ctx, in)
	return a.Next.ExecuteActivity(ctx, in)
}

// dying makes every worker of a world die after each activity.
func dying(w *world) *world {
	w.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{&temporalx.Faults{}, &twice{}}})
	return w
}

// accounted checks that there is one primary, and that each launched instance is
// it, stands by, or was ended.
func (w *world) accounted(t *testing.T) {
	t.Helper()
	set := w.store.view()
	require.NotEmpty(t, set.Primary.ID)
	for _, id := range w.cloud.launched {
		_, standsBy := set.ReplicaOn(id)
		ended := slices.Contains(w.cloud.ended, id)
		require.True(t, set.Primary.ID == id || standsBy || ended, "%s is forgotten", id)
		require.False(t, ended && (standsBy || set.Primary.ID == id), "%s is needed and was ended", id)
	}
}

func TestAWorkerThatDiesAfterEachStepOfAReplica(t *testing.T) {
	t.Parallel()

	for name, end := range map[string]func(*world){
		"retired":   func(w *world) { w.release(time.Minute, replica.Retiring) },
		"cancelled": func(w *world) { w.after(time.Minute, w.CancelWorkflow) },
		"gone":      func(w *world) { w.after(time.Minute, func() { w.cloud.end("i-r1") }) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			in := replicaIn(replica.Termination)
			w := dying(replicaWorld(t, in))
			end(w)
			_, _ = w.replicate(t, in)
			require.Len(t, w.cloud.asked, 2, "it was launched two times")
			require.Len(t, w.pages.opened, 2, "local steps too")
			require.Len(t, w.cloud.launched, 1, "one decision, one instance")
			require.Equal(t, []string{"i-r1"}, w.cloud.ended)
			w.accounted(t)
		})
	}
}

func TestAWorkerThatDiesAfterEachStepOfASwitch(t *testing.T) {
	t.Parallel()

	w := dying(switchWorld(t))
	w.news(time.Minute, replica.Ready)
	res, err := w.move(t, switchIn(agent.ControlPlane))
	require.NoError(t, err)
	require.Equal(t, switching.Done, res.Phase)
	require.Equal(t, 1, w.store.changes())
	require.Equal(t, []string{"i-old"}, w.cloud.ended)
	w.accounted(t)

	w = dying(agentWorld(t))
	w.report(time.Minute, workflows.SwitchReport{AgentID: "a1", CommandID: "cmd", InstanceID: "i-agents", Done: true, Success: true})
	_, err = w.move(t, switchIn(agent.ByAgent))
	require.NoError(t, err)
	require.Equal(t, 1, w.store.decided())
	require.Equal(t, 1, w.store.changes())
}

func TestAWorkerThatDiesAfterEachStepOfAFailover(t *testing.T) {
	t.Parallel()

	s := newStore().with(standby())
	s.set.Keeping = agent.KeepManual
	w := dying(guardianWorld(t, s))
	got, again := notify(w, time.Second, "i-old"), notify(w, 2*time.Second, "i-old")
	w.guard(t)
	require.Equal(t, workflows.NoticePromoted, got.Answer.Status)
	require.Equal(t, got.Answer, again.Answer)
	require.Equal(t, 1, s.changes())
	require.Equal(t, 2, s.decided(), "one heir and one standby after it")

	s = newStore()
	w = dying(guardianWorld(t, s))
	emergency(w, time.Second, "u1", interruption.Rebalance)
	notify(w, 2*time.Second, "i-old")
	w.after(10*time.Second, func() {
		_, err := s.Advance(t.Context(), roles.Step{ReplicaID: "r1", To: replica.Ready, InstanceID: "i-new"})
		require.NoError(t, err)
		w.SignalWorkflow(workflows.SignalWake, "ready")
	})
	w.guard(t)
	require.Equal(t, 1, s.decided())
	require.Equal(t, 1, s.changes())
}

func TestAWorkerThatDiesAfterEachStepOfTheAftercare(t *testing.T) {
	t.Parallel()

	w := dying(newWorld(t, newStore()))
	w.after(3*time.Minute, func() { w.cloud.end("i-old") })
	_, err := w.terminate(t, lost(w, interruption.Promoted))
	require.NoError(t, err)
	require.Empty(t, w.cloud.ended)

	s := newStore().with(standby())
	w = dying(newWorld(t, s))
	in := promotionIn(roles.Retire)
	in.Wait = time.Minute
	require.NoError(t, w.promote(t, in))
	require.Equal(t, 1, s.changes())
	require.Equal(t, []string{"i-old"}, w.cloud.ended)
	w.accounted(t)
}
