package app_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/app"
	"spotkeeper/internal/postgres"
)

// passes answers one pass after the other.
type passes struct {
	answers chan error
	asked   chan struct{}
}

func (p *passes) RedeliverNotices(ctx context.Context, _ activities.RedeliverInput) (*activities.RedeliverResult, error) {
	if _, bounded := ctx.Deadline(); !bounded {
		return nil, errors.New("a pass without a deadline may never end")
	}
	p.asked <- struct{}{}
	err := <-p.answers
	return &activities.RedeliverResult{Delivered: 1}, err
}

// TestRedeliveryGoesOnAfterEveryFailure: with a neighbour away there is nothing
// else to do than to ask again, and only the end of the process ends it.
func TestRedeliveryGoesOnAfterEveryFailure(t *testing.T) {
	t.Parallel()

	p := &passes{answers: make(chan error, 4), asked: make(chan struct{})}
	r := &app.Redelivery{Notices: p, Every: time.Millisecond, Log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	for _, answer := range []error{postgres.Unavailable.New("away"), errors.New("a bug"), nil} {
		<-p.asked
		p.answers <- answer
	}
	<-p.asked
	cancel()
	p.answers <- context.Canceled
	require.NoError(t, <-ended)
}
