package workflows_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/adoption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/workflows"
)

// adopting lets an Adoption run against answers that EC2 gives in turn; the last one stays.
func adopting(
	t *testing.T,
	w *world,
	answers ...func(in activities.AdoptInput) (*activities.AdoptResult, error),
) (*workflows.AdoptionResult, int) {
	t.Helper()
	var asked atomic.Int64
	w.RegisterActivityWithOptions(func(_ context.Context, in activities.AdoptInput) (*activities.AdoptResult, error) {
		n := int(asked.Add(1)) - 1
		return answers[min(n, len(answers)-1)](in)
	}, activity.RegisterOptions{Name: "AdoptInstance"})
	w.ExecuteWorkflow(workflows.Adoption, workflows.AdoptionInput{AgentID: "a1", InstanceID: "i-9"})
	require.True(t, w.IsWorkflowCompleted())
	require.NoError(t, w.GetWorkflowError())
	var out workflows.AdoptionResult
	require.NoError(t, w.GetWorkflowResult(&out))
	return &out, int(asked.Load())
}

func proven(activities.AdoptInput) (*activities.AdoptResult, error) {
	return &activities.AdoptResult{Proven: true}, nil
}

func noMark(activities.AdoptInput) (*activities.AdoptResult, error) {
	return &activities.AdoptResult{Cause: adoption.NoTenantMark, Reason: "nothing names it", Repair: "tag it"}, nil
}

// shown is how often a phase began.
func shown(w *world, phase string) (n int) {
	w.pages.mu.Lock()
	defer w.pages.mu.Unlock()
	for _, s := range w.pages.steps {
		if s.Name == phase {
			n++
		}
	}
	return n
}

func TestAdoptionOfAProvenInstance(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newStore())
	got, asked := adopting(t, w, proven)
	require.True(t, got.Proven)
	require.Equal(t, 1, asked)
	require.Equal(t, "adopted", w.pages.last().Phase)
}

// TestAnAdoptionWaitsForTheRepair: the page says what it waits for, once, and news has
// EC2 asked at once.
func TestAnAdoptionWaitsForTheRepair(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newStore())
	began := w.Now()
	w.after(90*time.Second, func() { w.SignalWorkflow(workflows.SignalNews, nil) })
	got, asked := adopting(t, w, noMark, noMark, proven)
	require.True(t, got.Proven)
	require.Equal(t, 3, asked)
	require.Less(t, w.Now().Sub(began), 2*time.Minute, "the second pause would have lasted two minutes")
	require.Equal(t, 1, shown(w, "unproven"), "the same cause is shown once")
}

// TestAnAdoptionGivesUp after three days, and says why.
func TestAnAdoptionGivesUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newStore())
	began := w.Now()
	got, asked := adopting(t, w, noMark)
	require.False(t, got.Proven)
	require.Equal(t, adoption.NoTenantMark, got.Cause)
	require.Less(t, asked, 90, "pauses grow to an hour")
	require.GreaterOrEqual(t, w.Now().Sub(began), 72*time.Hour)
	end := w.pages.last()
	require.Equal(t, "failed "+string(adoption.NotProven), end.State+" "+end.Code)
}

// TestAnInstanceThatIsNotThereYet is waited for, then judged as it stands.
func TestAnInstanceThatIsNotThereYet(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newStore())
	got, _ := adopting(t, w, func(in activities.AdoptInput) (*activities.AdoptResult, error) {
		if in.Last {
			return &activities.AdoptResult{Over: true}, nil
		}
		return nil, replica.NotRunning.New("not yet")
	})
	require.False(t, got.Proven)
	require.Equal(t, "cancelled", w.pages.last().State)
}
