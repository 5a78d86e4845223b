package workflows_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/interceptor"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/testkit/temporaltest"
	"spotkeeper/workflows"
)

// twice runs every activity two times and believes the second: what happens when
// a worker dies after each of them, before it could say so.
type twice struct {
	interceptor.WorkerInterceptorBase
}

func (*twice) InterceptActivity(
	_ context.Context,
	next interceptor.ActivityInboundInterceptor,
) interceptor.ActivityInboundInterceptor {
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
	w.SetWorkerOptions(temporaltest.WorkerOptions(&twice{}))
	return w
}

// accounted checks that there is one primary, and that each launched instance is
// the primary, is a standby, or was ended.
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

func TestAWorkerThatDiesAfterEachStepOfAFailover(t *testing.T) {
	t.Parallel()

	s := newStore().with(standby())
	s.set.Keeping = agent.KeepManual
	w := dying(newWorld(t, s))
	got, again := notify(w, time.Second, "i-old"), notify(w, 2*time.Second, "i-old")
	w.guard(t)
	require.Equal(t, workflows.NoticePromoted, got.Answer.Status)
	require.Equal(t, got.Answer, again.Answer)
	require.Equal(t, 1, s.changes())
	require.Equal(t, 2, s.decided(), "one successor and one standby after it")

	s = newStore()
	w = dying(newWorld(t, s))
	emergency(w, time.Second, "u1", interruption.Rebalance)
	notify(w, 2*time.Second, "i-old")
	w.after(10*time.Second, func() {
		_, err := s.Advance(t.Context(), roles.ReplicaTransition{
			ReplicaID:  "r1",
			To:         replica.Ready,
			InstanceID: "i-new",
		})
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
	w.lost(interruption.Promoted)
	w.after(3*time.Minute, func() { w.cloud.end("i-old") })
	_, err := w.terminate(t)
	require.NoError(t, err)
	require.Empty(t, w.cloud.ended)

	s := newStore().with(standby())
	w = dying(newWorld(t, s))
	w.wanted(false, time.Minute)
	require.NoError(t, w.promote(t))
	require.Equal(t, 1, s.changes())
	require.Equal(t, []string{"i-old"}, w.cloud.ended)
	w.accounted(t)
}
