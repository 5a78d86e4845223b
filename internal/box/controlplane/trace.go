package controlplane

import (
	"context"
	"crypto/rand"
	"encoding/hex"
)

type traceKey struct{}

// withTrace begins a trace, in the form of the W3C's Trace Context: version, trace, span,
// and the flag that asks for it to be kept. All ways that a notice takes are in one trace.
// A control plane that keeps no traces ignores it.
func withTrace(ctx context.Context) context.Context {
	ids := make([]byte, 16+8)
	_, _ = rand.Read(ids) // never fails
	return context.WithValue(ctx, traceKey{}, "00-"+hex.EncodeToString(ids[:16])+"-"+hex.EncodeToString(ids[16:])+"-01")
}
