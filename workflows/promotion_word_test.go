package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/domain/switching"
)

// TestPromotionWaitsForTheAgentsWord (K10): passed checks are not work that is up. A notice of
// the primary's end ends the wait.
func TestPromotionWaitsForTheAgentsWord(t *testing.T) {
	t.Parallel()

	successor := roles.Replica{
		ID:         "r1",
		Kind:       replica.Manual,
		State:      replica.Ready,
		InstanceID: "i-new",
		Unheard:    true,
	}
	for name, tt := range map[string]struct {
		happens func(*world)
		took    time.Duration
		primary string
	}{
		"it speaks": {func(w *world) { w.store.all["r1"].Unheard = false }, 60 * time.Second, "i-new"},
		"the primary is noticed": {func(w *world) {
			w.store.set.Outcomes = append(w.store.set.Outcomes, interruption.Outcome{InstanceID: "i-old",
				Kind: interruption.Termination})
		}, 60 * time.Second, "i-new"},
		"it stays silent": {func(*world) {}, 5 * time.Minute, "i-old"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t, newStore().with(successor))
			w.wanted(false, 5*time.Minute)
			began := w.Now()
			w.after(50*time.Second, func() {
				w.store.mu.Lock()
				defer w.store.mu.Unlock()
				tt.happens(w)
			})
			err := w.promote(t)
			require.Equal(t, tt.primary, w.store.view().Primary.ID)
			require.Equal(t, tt.took, w.Now().Sub(began).Round(time.Second))
			if tt.primary == "i-old" {
				require.Equal(t, switching.Silent, fault.CodeOf(err))
				require.Contains(t, w.pages.last().Notify, "start the agent at boot")
				return
			}
			require.NoError(t, err)
		})
	}
}
