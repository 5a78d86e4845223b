package postgres

import (
	"cmp"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/intake"
	"spotkeeper/internal/tracing/span"
)

// TakeTogether is Take for notices of different agents, in one transaction of two round
// trips: in a storm most of a notice's cost is its round trips. The agents are locked in
// the order of their ids, so that two calls cannot wait for each other.
//
// Either all notices are durable or none is. When one cannot be taken, such as that of an
// agent that is being deleted, the call fails, and each is to be taken by itself.
func (s *Notices) TakeTogether(
	ctx context.Context,
	notices []intake.Incoming,
	judge roles.NoticeJudge,
) ([]*roles.Taken, error) {
	ordered := slices.SortedFunc(slices.Values(notices), func(x, y intake.Incoming) int {
		return cmp.Compare(x.Notice.AgentID, y.Notice.AgentID)
	})
	var out []*roles.Taken
	err := s.DB.InTx(ctx, func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		for _, one := range ordered {
			queueAgentLock(b, one.ClientID, one.Notice.AgentID)
		}
		out = make([]*roles.Taken, len(notices))
		for n, one := range notices {
			out[n] = queueRecord(b, one.Notice, false)
		}
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		b = &pgx.Batch{}
		for n, one := range notices {
			if err := queueJudged(ctx, b, one.Notice, out[n], judge); err != nil {
				return err
			}
		}
		if b.Len() == 0 {
			return nil
		}
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func queueJudged(
	ctx context.Context,
	b *pgx.Batch,
	n interruption.Notice,
	out *roles.Taken,
	judge roles.NoticeJudge,
) error {
	completeSet(out)
	if !out.Known {
		return nil
	}
	out.Verdict, out.Trace = judge(out.Set, n), span.Parent(ctx)
	return queueVerdict(b, n, out, span.ID(ctx))
}
