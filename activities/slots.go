package activities

import (
	"context"

	"go.temporal.io/sdk/activity"

	"spotkeeper/internal/domain/fault"
)

// SlotsTaken means that as many local activities of a kind are running as may. The
// same step succeeds a moment later; its retry policy is the pause.
var SlotsTaken = fault.Define("workflow.slots_taken", fault.Unavailable)

// Slots bound how many local activities of one kind run at once in a process. All
// local activities of a worker share its slots, and one that waits for a slow
// service holds its slot meanwhile. Without a bound of their own, those that call
// Temporal would take every slot when its frontend hangs, and no change of roles could
// run.
//
// The zero value has no bound.
type Slots struct{ taken chan struct{} }

// NewSlots returns n slots.
func NewSlots(n int) Slots { return Slots{taken: make(chan struct{}, n)} }

// Size is how many there are.
func (s Slots) Size() int { return cap(s.taken) }

// Run does something in a slot. It never waits for one, because it would hold a slot
// of the worker meanwhile. A regular activity has slots of another sort and takes
// none. Fails with workflow.slots_taken.
func (s Slots) Run(ctx context.Context, do func() error) error {
	if s.taken == nil || activity.IsActivity(ctx) && !activity.GetInfo(ctx).IsLocalActivity {
		return do()
	}
	select {
	case s.taken <- struct{}{}:
	default:
		return SlotsTaken.New("%d calls of this kind are on their way already", cap(s.taken))
	}
	defer func() { <-s.taken }()
	return do()
}
