package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/interruption"
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

// TestTerminationOutlivesAnOutageOfPostgres: its page ends late, not never.
func TestTerminationOutlivesAnOutageOfPostgres(t *testing.T) {
	t.Parallel()

	for name, from := range map[string]time.Duration{"from the start": 0, "when it ends": 2 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t, newStore())
			w.lost(interruption.Promoted)
			w.away(from)
			w.after(3*time.Minute, func() { w.cloud.end("i-old") })
			_, err := w.terminate(t)
			require.NoError(t, err)
			require.Equal(t, "succeeded", w.pages.last().State)
		})
	}
}
