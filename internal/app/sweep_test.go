package app_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/app"
)

// passes counts the passes of a sweep, and ends it after the last one.
type passes struct {
	more []activities.SweepCounts // what each pass finds
	done int
	end  context.CancelFunc
}

func (p *passes) Sweep(context.Context) (activities.SweepCounts, error) {
	out := p.more[p.done]
	if p.done++; p.done == len(p.more) {
		p.end()
	}
	return out, nil
}

// TestTheSweepGoesOnWhileMoreIsDue, without waiting for its next turn, which is an hour
// away.
func TestTheSweepGoesOnWhileMoreIsDue(t *testing.T) {
	t.Parallel()

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	rows := &passes{
		end:  cancel,
		more: []activities.SweepCounts{{Started: 100, More: true}, {Running: 25, Woken: 75, More: true}, {Started: 3}},
	}
	sweep := &app.Sweep{Rows: rows, Every: time.Hour, Log: slog.New(slog.DiscardHandler)}
	require.NoError(t, sweep.Run(ctx))
	require.Equal(t, 3, rows.done)
}
