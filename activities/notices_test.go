package activities_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/interruption"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/replica"
)

func lines(parts ...any) string { return strings.TrimSpace(fmt.Sprintln(parts...)) }

func silence(w *world) activities.AgentStore { return &postgres.Silence{DB: w.db} }

// desk is a workflows.Client whose Temporal may be away.
type desk struct {
	away      error
	delivered []string
	woken     []string
	take      func(interruption.Notice)
}

func (d *desk) Wake(_ context.Context, agentID, _ string) error {
	if d.away == nil {
		d.woken = append(d.woken, agentID)
	}
	return d.away
}

func (d *desk) DeliverNotice(_ context.Context, n interruption.Notice) error {
	if d.away == nil {
		d.delivered = append(d.delivered, n.InstanceID)
		d.take(n)
	}
	return d.away
}

// TestRedeliverNotices is invariant 5: what was durable when the answer was 2xx is
// acted on, also when Temporal was away.
func TestRedeliverNotices(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	store := &postgres.Notices{DB: w.db}
	d := &desk{away: context.DeadlineExceeded, take: func(n interruption.Notice) {
		_, err := w.roles.RecordNotice(t.Context(), n)
		require.NoError(t, err)
	}}
	steps := &activities.Notices{Store: store, Workflows: d, Log: quiet}
	_, err := store.Arrive(t.Context(), "k1", interruption.Notice{AgentID: "a1", InstanceID: "i-0", Kind: interruption.Termination})
	require.NoError(t, err)
	w.replica(replica.Termination)
	w.exec(`UPDATE replicas SET created_at = now() - interval '5 minutes'`)
	pass := func() *activities.RedeliverResult {
		got, err := steps.RedeliverNotices(t.Context(), activities.RedeliverInput{OlderThan: time.Nanosecond})
		require.NoError(t, err)
		w.exec(`UPDATE agents SET woken_at = woken_at - interval '2 minutes'`)
		return got
	}
	require.Equal(t, &activities.RedeliverResult{Failed: 2}, pass())
	d.away = nil
	require.Equal(t, &activities.RedeliverResult{Delivered: 1, Woken: 1}, pass())
	require.Equal(t, &activities.RedeliverResult{Woken: 1}, pass(), "a Guardian has the notice; the replica still waits")
	require.Equal(t, []string{"i-0"}, d.delivered)
	require.Equal(t, []string{"a1", "a1"}, d.woken)
	w.exec(`UPDATE replicas SET state = 'launching'`)
	require.Equal(t, &activities.RedeliverResult{}, pass())
}

// waits is a store in which many notices and agents wait.
type waits int

func (n waits) Undelivered(context.Context, time.Duration, int) (out []interruption.Notice, err error) {
	for i := range n {
		out = append(out, interruption.Notice{AgentID: fmt.Sprint("a", i), InstanceID: fmt.Sprint("i-", i), Kind: interruption.Termination})
	}
	return out, nil
}

func (n waits) Unattended(context.Context, time.Duration, int) (out []string, err error) {
	for i := range n {
		out = append(out, fmt.Sprint("a", i))
	}
	return out, nil
}

// mute is a desk where the first agents' Guardians do not answer.
type mute struct {
	silent []string
	mu     sync.Mutex
	heard  []string
}

func (m *mute) DeliverNotice(ctx context.Context, n interruption.Notice) error {
	return m.Wake(ctx, n.AgentID, "")
}

func (m *mute) Wake(ctx context.Context, agentID, _ string) error {
	if slices.Contains(m.silent, agentID) {
		<-ctx.Done()
		return ctx.Err()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heard = append(m.heard, agentID)
	return nil
}

// TestAMuteGuardianDelaysNobody: the oldest notices come first, and the oldest is
// the one whose Guardian does not answer.
func TestAMuteGuardianDelaysNobody(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		d := &mute{silent: []string{"a0", "a1"}}
		steps := &activities.Notices{Store: waits(50), Workflows: d, Log: quiet}
		pass, cancel := context.WithTimeout(t.Context(), 30*time.Second) // the loop's own limit
		defer cancel()
		got, err := steps.RedeliverNotices(pass, activities.RedeliverInput{})
		require.NoError(t, err)
		require.Equal(t, &activities.RedeliverResult{Delivered: 48, Woken: 48, Failed: 4}, got)
		require.Len(t, d.heard, 96)
	})
}

// TestAPassThatIsOverTellsNobodyMore, and does not count them as failures.
func TestAPassThatIsOverTellsNobodyMore(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		d := &mute{silent: []string{"a0", "a1", "a2", "a3"}}
		steps := &activities.Notices{Store: waits(50), Workflows: d, Log: quiet}
		pass, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		got, err := steps.RedeliverNotices(pass, activities.RedeliverInput{NoticesOnly: true})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 4, got.Failed)
		require.Empty(t, d.heard)
	})
}
