package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/agent"
	"spotkeeper/internal/fault"
	"spotkeeper/internal/interruption"
	"spotkeeper/internal/replica"
	"spotkeeper/internal/roles"
	"spotkeeper/internal/switching"
)

// outage is longer than any step waits inside its task, and shorter than what the
// test environment takes for an activity that fails for good: ten attempts.
const outage = 150 * time.Second

// away takes Postgres away for the length of an outage.
func (w *world) away(from time.Duration) {
	gone := fault.Code("postgres.unavailable").New("away")
	set := func(err error) {
		w.store.mu.Lock()
		defer w.store.mu.Unlock()
		w.pages.mu.Lock()
		defer w.pages.mu.Unlock()
		w.store.broken, w.pages.broken = err, err
	}
	w.after(from, func() { set(gone) })
	w.after(from+outage, func() { set(nil) })
}

// TestASwitchOutlivesAnOutageOfPostgres holds that a switch is late, not half done:
// neither its replica nor its command is left, whatever it had just begun.
func TestASwitchOutlivesAnOutageOfPostgres(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		away  time.Duration
		state replica.State // of its replica, a minute after the start
		phase switching.Phase
		order string
	}{
		"before the cut-over":       {30 * time.Second, replica.Ready, switching.Done, "completed"},
		"from the start":            {0, replica.Ready, switching.Done, "completed"},
		"when the old one is ended": {5*time.Minute + 30*time.Second, replica.Ready, switching.Done, "completed"},
		"before it is given up":     {30 * time.Second, replica.Failed, switching.Abandoned, "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := switchWorld(t)
			w.away(tt.away)
			w.news(time.Minute, tt.state)
			_, err := w.move(t, switchIn(agent.ControlPlane))
			require.Equal(t, tt.order == "completed", err == nil, "%v", err)
			require.NotEmpty(t, w.pages.orders)
			require.Equal(t, tt.order, w.pages.orders[len(w.pages.orders)-1].Status)
			require.Equal(t, tt.phase, w.pages.phases[len(w.pages.phases)-1].Phase)
			require.Contains(t, []string{"succeeded", "failed"}, w.pages.last().State)
			require.Len(t, w.pages.opened, 1)
			for n, s := range w.pages.steps {
				require.Equal(t, n+1, s.Seq, "no line of the page is lost")
			}
			require.False(t, w.store.state("r1").IsOpen(), "nothing is left of it")
		})
	}
}

// TestAReplicaOutlivesAnOutageOfPostgres holds that an instance is recorded and
// retired all the same.
func TestAReplicaOutlivesAnOutageOfPostgres(t *testing.T) {
	t.Parallel()

	for name, from := range map[string]time.Duration{"when it is launched": 0, "when it is retired": 19 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			in := replicaIn(replica.Manual)
			w := replicaWorld(t, in)
			w.away(from)
			w.release(20*time.Minute, replica.Retiring)
			res, err := w.replicate(t, in)
			require.NoError(t, err)
			require.Equal(t, replica.Retired, res.State)
			require.Equal(t, []string{"i-r1"}, w.cloud.ended)
			require.Equal(t, replica.Retired, w.store.state("r1"))
			require.Equal(t, "succeeded", w.pages.last().State)
		})
	}
}

// TestAnAftercareOutlivesAnOutage holds that those are told who have to end what a
// change of roles leaves, though no message gets through for minutes.
func TestAnAftercareOutlivesAnOutage(t *testing.T) {
	t.Parallel()

	for name, run := range map[string]func(*testing.T, *world) error{
		"of a failover": func(t *testing.T, w *world) error {
			t.Helper()
			w.cloud.end("i-old")
			_, err := w.terminate(t, lost(w, interruption.Promoted))
			return err
		},
		"of a promotion": func(t *testing.T, w *world) error {
			t.Helper()
			in := promotionIn(roles.Retire)
			in.Changed = true
			return w.promote(t, in)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			s := newStore()
			s.set.Primary.ID = "i-new"
			w := newWorld(t, s)
			w.post.failures = 68 // more than the attempts of a minute
			require.NoError(t, run(t, w))
			require.Len(t, w.post.releases, 1)
			require.NotEmpty(t, w.post.wakes)
		})
	}
}
