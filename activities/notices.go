package activities

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"spotkeeper/internal/interruption"
)

// NoticeStore is the part of postgres.Notices that the redelivery uses.
type NoticeStore interface {
	Undelivered(ctx context.Context, olderThan time.Duration, limit int) ([]interruption.Notice, error)
	Unattended(ctx context.Context, olderThan time.Duration, limit int) ([]string, error)
}

// NoticeDesk is the part of workflows.Client that takes a notice without waiting
// for its outcome.
type NoticeDesk interface {
	Wake(ctx context.Context, agentID, why string) error
	DeliverNotice(ctx context.Context, n interruption.Notice) error
}

// Notices are the steps that see to it that what is durable is also acted on.
type Notices struct {
	Store     NoticeStore
	Workflows NoticeDesk
	Log       *slog.Logger
}

// wakesAtOnce bounds how many Guardians one pass wakes: after a storm hundreds of
// agents lack a standby, and their launches should not make the next one.
const wakesAtOnce = 100

// How many Guardians one pass tells at once, and how long one of them may take to
// answer before it is the next pass's.
const (
	tellAtOnce = 4
	tellWithin = 5 * time.Second
)

// RedeliverInput bounds one pass.
type RedeliverInput struct {
	OlderThan time.Duration `json:"older_than"` // of a notice that nobody took; zero: 5 s
	Idle      time.Duration `json:"idle"`       // of roles that wait for a Guardian; zero: 1 min
	Limit     int           `json:"limit"`      // zero: 500

	NoticesOnly bool `json:"notices_only,omitempty"` // leave the roles to another pass
}

// RedeliverResult counts one pass.
type RedeliverResult struct {
	Delivered int `json:"delivered"`
	Woken     int `json:"woken"`
	Failed    int `json:"failed"`
}

// Counts is what a pass did, for its row.
func (r *RedeliverResult) Counts() map[string]int64 {
	return map[string]int64{"delivered": int64(r.Delivered), "woken": int64(r.Woken), "failed": int64(r.Failed)}
}

// RedeliverNotices gives the notices that no Guardian took to one, and wakes the
// Guardians of agents whose roles want judging. A Guardian recognizes a notice by
// its key and a wake carries no fact, so it may run any number of times, also
// beside the loop of the API. One that cannot be delivered is counted and left
// for the next pass.
func (n *Notices) RedeliverNotices(ctx context.Context, in RedeliverInput) (*RedeliverResult, error) {
	if in.OlderThan <= 0 {
		in.OlderThan = 5 * time.Second
	}
	if in.Idle <= 0 {
		in.Idle = time.Minute
	}
	if in.Limit <= 0 {
		in.Limit = 500
	}
	waiting, err := n.Store.Undelivered(ctx, in.OlderThan, in.Limit)
	if err != nil {
		return nil, err
	}
	told, failed := tellEach(ctx, waiting, n.Workflows.DeliverNotice, func(w interruption.Notice, err error) {
		n.Log.WarnContext(ctx, "a notice could not be delivered", "agent_id", w.AgentID, "instance_id", w.InstanceID, "error", err)
	})
	out := &RedeliverResult{Delivered: told, Failed: failed}
	if in.NoticesOnly {
		return out, ctx.Err()
	}
	agents, err := n.Store.Unattended(ctx, in.Idle, min(in.Limit, wakesAtOnce))
	if err != nil {
		return nil, err
	}
	wake := func(ctx context.Context, agentID string) error {
		return n.Workflows.Wake(ctx, agentID, "its roles want judging")
	}
	told, failed = tellEach(ctx, agents, wake, func(agentID string, err error) {
		n.Log.WarnContext(ctx, "a guardian could not be woken", "agent_id", agentID, "error", err)
	})
	out.Woken, out.Failed = told, out.Failed+failed
	return out, ctx.Err()
}

// tellEach tells each of many, a few at once and none for long: a Guardian that
// does not answer, say because no worker can replay it, must not keep the others
// waiting. Those that ctx leaves no time for are neither told nor failed.
func tellEach[T any](ctx context.Context, all []T, tell func(context.Context, T) error, missed func(T, error)) (told, failed int) {
	var ok, bad atomic.Int64
	var g errgroup.Group
	g.SetLimit(tellAtOnce)
	for _, one := range all {
		g.Go(func() error {
			if ctx.Err() != nil {
				return nil
			}
			ctx, cancel := context.WithTimeout(ctx, tellWithin)
			defer cancel()
			if err := tell(ctx, one); err != nil {
				bad.Add(1)
				missed(one, err)
				return nil
			}
			ok.Add(1)
			return nil
		})
	}
	_ = g.Wait() // each failure is counted
	return int(ok.Load()), int(bad.Load())
}
