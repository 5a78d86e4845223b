package devtest

import (
	"context"
	"log/slog"
	"testing"

	sdk "go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
)

// Dial connects to the stack's own Temporal, for what no page shows, until the
// test ends.
func (s *Stack) Dial(ctx context.Context, tb testing.TB) sdk.Client {
	tb.Helper()
	c, err := sdk.DialContext(ctx, sdk.Options{
		HostPort:  s.Temporal,
		Namespace: s.Namespace,
		Logger:    log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c
}
