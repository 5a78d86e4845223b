package stack

import "context"

// Part is one thing the stack runs. Its methods are called by one goroutine.
type Part interface {
	// Name is a short word for progress lines and errors.
	Name() string
	// Start returns when the part is ready for those that come after it, or
	// why it will not be; it has then cleaned up after itself. What it found
	// out about its addresses it writes into the Addresses it was made with.
	Start(ctx context.Context) error
	// Failed delivers the reason when the part ends without having been
	// stopped. It is nil for a step that was over when Start returned; such a
	// part is not stopped.
	Failed() <-chan error
	// Stop ends the part and waits for it, no longer than the context allows.
	Stop(ctx context.Context) error
}
