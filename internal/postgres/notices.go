package postgres

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/tracing/span"
)

// Notices take notices in, through whichever door they come.
type Notices struct{ DB *pg.DB }

// Take stores a notice, has the agent's roles judged with it and writes the result of the
// verdict, in one transaction of two round trips. With a ready successor the roles have
// changed when it returns. The agent's row is locked first, so two calls with the same
// notice run one after the other, and the second one finds the decision of the first.
//
// The same notice is one row however often it comes. Its deadline lies between now
// and interruption.Furthest, by the database's clock; of two the earlier one holds.
// A notice about an instance that never was the agent's leaves no row. An empty
// clientID is any tenant. Fails with agent.not_found.
func (s *Notices) Take(
	ctx context.Context,
	clientID string,
	n interruption.Notice,
	judge roles.NoticeJudge,
) (*roles.TakenNotice, error) {
	return s.take(ctx, clientID, n, false, judge)
}

// TakeAgain is Take for a notice that arrived before: the Guardian judges it, and
// the notice counts as delivered.
func (s *Roles) TakeAgain(ctx context.Context, n interruption.Notice, judge roles.NoticeJudge) (*roles.TakenNotice, error) {
	return (&Notices{DB: s.DB}).take(ctx, "", n, true, judge)
}

func (s *Notices) take(
	ctx context.Context,
	clientID string,
	n interruption.Notice,
	again bool,
	judge roles.NoticeJudge,
) (*roles.TakenNotice, error) {
	out, err := s.takeOnce(ctx, clientID, n, again, judge)
	if !fault.Is(err, roles.StaleEpoch) {
		return out, err
	}
	// The successor is not what its row says. The notice is kept all the same, and the
	// Guardian brings another one about.
	return s.takeOnce(ctx, clientID, n, again, func(set *roles.AgentRoles, n interruption.Notice) roles.Verdict {
		v := judge(set, n)
		if v.Ruling == roles.RuledFailOver {
			v = roles.Verdict{Ruling: roles.RuledLaunch, Review: true}
		}
		return v
	})
}

func (s *Notices) takeOnce(
	ctx context.Context,
	clientID string,
	n interruption.Notice,
	again bool,
	judge roles.NoticeJudge,
) (*roles.TakenNotice, error) {
	var out *roles.TakenNotice
	err := s.DB.InTx(ctx, func(tx pgx.Tx) error {
		var err error
		if out, err = recordNotice(ctx, tx, clientID, n, again); err != nil || !out.Known {
			return err
		}
		out.Verdict, out.Trace = judge(out.Set, n), span.Parent(ctx)
		b := &pgx.Batch{}
		if err := queueVerdict(b, n, out, span.ID(ctx)); err != nil {
			return err
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

// selectNotice reads one notice as an outcome.
const selectNotice = `
SELECT n.deadline,
    n.deadline <= clock_timestamp(),
    (extract(epoch FROM n.deadline - clock_timestamp()) * 1000000000)::bigint,
    n.result,
    coalesce(n.replica_id, ''),
    coalesce(n.new_primary, ''),
    n.wanted_replica,
    n.arrivals = 1,
    n.delivered_at IS NOT NULL,
    n.door,
    CASE WHEN n.second_arrival = n.arrivals THEN (extract(epoch FROM n.second_at - n.received_at) * 1000000000)::bigint END
FROM notices n
WHERE n.agent_id = $1
  AND n.instance_id = $2
  AND n.kind = $3`

// recordNotice is the first round trip: it locks the agent, makes the notice durable and
// reads the roles. The lock is taken in a statement of its own, because a statement
// that waits for a lock sees everything else as it was before.
func recordNotice(
	ctx context.Context,
	tx pgx.Tx,
	clientID string,
	n interruption.Notice,
	again bool,
) (*roles.TakenNotice, error) {
	b := &pgx.Batch{}
	queueAgentLock(b, clientID, n.AgentID)
	out := queueRecord(b, n, again)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return nil, err
	}
	completeSet(out)
	return out, nil
}

// queueAgentLock locks the agent of a notice. Fails with agent.not_found.
func queueAgentLock(b *pgx.Batch, clientID, agentID string) {
	b.Queue(`SELECT status = 'deleted' FROM agents WHERE id = $1 AND ($2 = '' OR client_id = $2) FOR NO KEY UPDATE`,
		agentID, clientID).
		QueryRow(func(row pgx.Row) error {
			var deleted bool
			err := row.Scan(&deleted)
			if pg.IsNoRows(err) || err == nil && deleted {
				return pg.UnknownAgent(agentID)
			}
			return err
		})
}

// queueRecord makes a notice durable and reads the roles of its agent, which is locked.
// What it returns is filled in when b has been sent.
func queueRecord(b *pgx.Batch, n interruption.Notice, again bool) *roles.TakenNotice {
	out := &roles.TakenNotice{Outcome: interruption.Outcome{InstanceID: n.InstanceID, Kind: n.Kind}}
	b.Queue(`SELECT role FROM instances WHERE id = $2 AND agent_id = $1`, n.AgentID, n.InstanceID).
		QueryRow(func(row pgx.Row) error {
			err := row.Scan(&out.Role)
			if out.Known = err == nil; pg.IsNoRows(err) {
				return nil
			}
			return err
		})
	b.Queue(insertNotice, noticeRow(n, again)...)
	queueInterruption(b, n)
	b.Queue(selectNotice, n.AgentID, n.InstanceID, n.Kind).QueryRow(func(row pgx.Row) error {
		o := &out.Outcome
		err := row.Scan(&o.Deadline, &o.Past, &o.Left, &o.Result, &o.ReplicaID, &o.NewPrimary, &o.Wanted, &out.First,
			&out.Delivered, &out.FirstDoor, &out.Behind)
		if pg.IsNoRows(err) {
			return nil
		}
		return err
	})
	b.Queue(selectSet, n.AgentID).QueryRow(func(row pgx.Row) (err error) {
		out.Set, err = scanRoles(row, n.AgentID)
		return err
	})
	return out
}

// completeSet has the roles list the notice that was taken in.
func completeSet(out *roles.TakenNotice) {
	out.Outcome.Deadline = out.Outcome.Deadline.UTC()
	if _, listed := out.Set.Outcome(out.Outcome.InstanceID, out.Outcome.Kind); out.Known && !listed {
		out.Set.Outcomes = append(slices.Clone(out.Set.Outcomes), out.Outcome)
	}
}

// queueVerdict queues the second round trip, and fills in the outcome it leads to.
func queueVerdict(b *pgx.Batch, n interruption.Notice, out *roles.TakenNotice, traceID string) error {
	v := out.Verdict
	switch v.Ruling {
	case roles.RuledFailOver:
		queueTermination(b, n, traceID)
		queueChange(b, *v.Change)
		queueOutcome(b, *v.Change)
		out.Outcome.Result, out.Outcome.ReplicaID, out.Outcome.NewPrimary = interruption.Promoted, v.Change.ReplicaID, v.Change.NewID
		if v.Standby != nil {
			if err := queueReplica(b, *v.Standby); err != nil {
				return err
			}
			b.Queue(`
				SELECT coalesce(max(id), '')
				FROM replicas
				WHERE agent_id = $1 AND kind = 'manual' AND state = 'requested'`, n.AgentID).
				QueryRow(func(row pgx.Row) error { return row.Scan(&out.Standby) })
		}
	case roles.RuledNotPrimary:
		b.Queue(closeNotice, n.AgentID, n.InstanceID, n.Kind, interruption.NotPrimary)
		if v.Lost != "" {
			b.Queue(loseReplica, v.Lost, replica.InstanceGone, "AWS takes instance "+n.InstanceID)
			pg.QueueNews(b, v.Lost)
		}
		out.Outcome.Result = interruption.NotPrimary
	case roles.RuledLaunch:
		queueTermination(b, n, traceID)
	case roles.RuledNone:
		b.Queue(
			`
				UPDATE notices
				SET delivered_at = coalesce(delivered_at, clock_timestamp())
				WHERE agent_id = $1 AND instance_id = $2 AND kind = $3`,
			n.AgentID,
			n.InstanceID,
			n.Kind,
		)
	}
	if v.Review {
		pg.QueueReview(b, n.AgentID)
	}
	return nil
}

// queueTermination opens the operation of a termination notice, once per instance.
func queueTermination(b *pgx.Batch, n interruption.Notice, traceID string) {
	b.Queue(`
INSERT INTO operations (id, kind, client_id, agent_id, phase, summary, cause, instance_id, deadline, trace_id)
SELECT $4, 'termination', n.client_id, n.agent_id, 'noticed', 'AWS takes ' || n.instance_id, n.kind, n.instance_id,
    n.deadline, $5
FROM notices n
WHERE n.agent_id = $1
  AND n.instance_id = $2
  AND n.kind = $3
ON CONFLICT (id) DO NOTHING`, n.AgentID, n.InstanceID, n.Kind, roles.TerminationOperation(n.AgentID, n.InstanceID), traceID)
}

// loseReplica takes a replica whose instance ends out of the candidates. Its
// workflow ends what is left of it.
const loseReplica = `
UPDATE replicas
SET state = 'retiring',
    error_code = $2,
    error = $3
WHERE id = $1
  AND state IN ('requested', 'launching', 'running', 'ready')`
