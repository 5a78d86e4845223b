package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/postgres/pg"
)

// assignment gives an instance the role of a replica.
type assignment struct {
	agentID, instanceID string
	poolID              string // <type>.<zone>; empty: as the primary
	mode                agent.Mode
	launcher            agent.Launcher
	price               float64 // USD per hour; 0: unknown
}

// Advance moves a replica to a state and says whether it stands there now: one
// that stands there already does, one that was promoted, retired or failed
// meanwhile does not. When a hold begins, it begins by the database's clock.
// Fails with replica.not_found, replica.other_instance, roles.is_primary and
// agent.instance_of_another_tenant.
func (s *Roles) Advance(ctx context.Context, in roles.ReplicaTransition) (bool, error) {
	out, err := s.AdvanceJudged(ctx, in, func(*roles.AgentRoles) bool { return true })
	if err != nil {
		return false, err
	}
	return out.Ours, nil
}

// AdvanceJudged is Advance that asks for a review only when the roles, as they are
// after the transition, want one.
func (s *Roles) AdvanceJudged(
	ctx context.Context,
	in roles.ReplicaTransition,
	wantsReview func(*roles.AgentRoles) bool,
) (*roles.Advanced, error) {
	out := &roles.Advanced{}
	err := s.DB.InTx(ctx, func(tx pgx.Tx) error {
		*out = roles.Advanced{}
		at, err := lockReplica(ctx, tx, in.ReplicaID)
		if err != nil {
			return err
		}
		if in.InstanceID != "" && at.instanceID != "" && at.instanceID != in.InstanceID {
			return replica.OtherInstance.New("replica %s lives on %s, not on %s", in.ReplicaID, at.instanceID,
				in.InstanceID)
		}
		if out.Ours = at.state == in.To || isTransitionAllowed(at.state, in.To); !out.Ours {
			return nil
		}
		if in.InstanceID != "" && at.instanceID == "" && at.state.IsOpen() {
			if err := assignInstance(ctx, tx, at.assignment(in)); err != nil {
				return err
			}
		}
		set, err := writeTransition(ctx, tx, in, at, out)
		if err != nil || in.To == replica.Launching {
			return err
		}
		out.Wake = wantsReview(set)
		if !out.Wake || at.state == in.To {
			return nil
		}
		b := &pgx.Batch{}
		pg.QueueReview(b, at.agentID)
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

type lockedReplica struct {
	agentID, instanceID, pool string
	mode                      agent.Mode
	launcher                  agent.Launcher
	kind                      replica.Kind
	state                     replica.State
}

// lockReplica locks a replica, its agent first: a change of roles locks in that
// order too, so neither waits for the other for ever.
func lockReplica(ctx context.Context, tx pgx.Tx, id string) (at lockedReplica, err error) {
	b := &pgx.Batch{}
	b.Queue(`SELECT FROM agents WHERE id = (SELECT agent_id FROM replicas WHERE id = $1) FOR NO KEY UPDATE`, id)
	b.Queue(`
		SELECT agent_id, coalesce(instance_id, ''), coalesce(pool_id, ''), mode, launcher, kind, state
		FROM replicas
		WHERE id = $1
		FOR UPDATE`, id).
		QueryRow(func(row pgx.Row) error {
			return row.Scan(&at.agentID, &at.instanceID, &at.pool, &at.mode, &at.launcher, &at.kind, &at.state)
		})
	err = tx.SendBatch(ctx, b).Close()
	if pg.IsNoRows(err) {
		return at, replica.NotFound.New("there is no replica %s", id)
	}
	return at, err
}

func (at lockedReplica) assignment(in roles.ReplicaTransition) assignment {
	out := assignment{
		agentID:    at.agentID,
		instanceID: in.InstanceID,
		poolID:     at.pool,
		mode:       at.mode,
		launcher:   at.launcher,
	}
	if in.Where != nil {
		out.poolID, out.mode, out.price = in.Where.PoolID, in.Where.Mode, in.Where.HourlyPrice
	}
	return out
}

func isTransitionAllowed(from, to replica.State) bool {
	for _, s := range to.PreviousStates() {
		if s == from {
			return true
		}
	}
	return false
}

// writeTransition writes the step and what follows from it, and reads the roles then.
// The counter of failures moves only with the state, so that a step which runs twice
// counts once.
func writeTransition(
	ctx context.Context,
	tx pgx.Tx,
	in roles.ReplicaTransition,
	at lockedReplica,
	out *roles.Advanced,
) (*roles.AgentRoles, error) {
	var pool, mode *string
	var price *float64
	if in.Where != nil {
		m := string(launchMode(in.Where.Mode))
		pool, mode, price = &in.Where.PoolID, &m, &in.Where.HourlyPrice
	}
	b := &pgx.Batch{}
	b.Queue(
		`
			UPDATE replicas
			SET state = $2, instance_id = coalesce(instance_id, nullif($3, '')), pool_id = coalesce($4, pool_id),
				mode = coalesce($5, mode),
			hourly_cost = coalesce(nullif($6::float8, 0)::numeric, hourly_cost),
			launched_at = CASE WHEN $3 <> ''
			OR $2 = 'launching' THEN coalesce(launched_at, clock_timestamp()) ELSE launched_at END,
			running_at = CASE WHEN $2 IN ('running', 'ready') THEN coalesce(running_at,
			clock_timestamp()) ELSE running_at END,
			ready_at = CASE WHEN $2 = 'ready' THEN coalesce(ready_at, clock_timestamp()) ELSE ready_at END,
			hold_until = CASE WHEN $2 = 'ready' THEN coalesce(hold_until, clock_timestamp() + hold) ELSE hold_until END,
			sync_status = CASE $2 WHEN 'running' THEN 'syncing' WHEN 'ready' THEN 'synced' ELSE sync_status END,
			sync_progress = CASE WHEN $2 = 'ready' THEN 100 ELSE sync_progress END,
			ended_at = CASE WHEN $2 IN ('retired', 'failed') THEN coalesce(ended_at,
			clock_timestamp()) ELSE ended_at END,
			total_cost = CASE WHEN $2 IN ('retired', 'failed') AND ended_at IS NULL THEN `+costSoFar+
			` ELSE total_cost END,
			error_code = coalesce(nullif($7, ''), error_code), error = coalesce(nullif($8, ''), error)
		WHERE id = $1`,
		in.ReplicaID,
		in.To,
		in.InstanceID,
		pool,
		mode,
		price,
		in.ErrorCode,
		in.Error,
	)
	if at.state != in.To {
		if in.To == replica.Retiring || in.To == replica.Failed {
			pg.QueueNews(b, in.ReplicaID)
		}
		switch in.To {
		case replica.Ready:
			queueMended(b, at.agentID)
			b.Queue(`UPDATE agents SET failures = 0 WHERE id = $1 AND failures > 0 AND $2 <> 'switch'`, at.agentID,
				at.kind)
		case replica.Failed:
			b.Queue(`UPDATE agents SET failures = failures + 1 WHERE id = $1 AND $2 = 'manual'`, at.agentID, at.kind)
			b.Queue(`INSERT INTO events (client_id, agent_id, type, severity, message, metadata, dedup_key)
				SELECT client_id, agent_id, 'replica_failed', 'warning',
					'a ' || kind || ' replica failed: ' || coalesce(error, error_code, 'no reason given'),
					jsonb_build_object('replica_id', id, 'kind', kind, 'code', error_code, 'instance_id', instance_id),
					'replica-failed:' || coalesce((
						SELECT o.retry_of FROM operations o WHERE o.id = 'replica/' || r.id), 'replica/' || id)
				FROM replicas r WHERE id = $1 ON CONFLICT (dedup_key) DO NOTHING`, in.ReplicaID)
		}
	}
	if in.To == replica.Retired {
		b.Queue(
			`UPDATE instances i SET role = 'retired', retiring_since = coalesce(i.retiring_since, clock_timestamp()),
				terminated_at = CASE WHEN i.terminate_by = 'nobody' THEN i.terminated_at ELSE coalesce(i.terminated_at,
				clock_timestamp()) END
			FROM replicas r WHERE r.id = $1 AND i.id = r.instance_id AND i.role <> 'primary'`,
			in.ReplicaID,
		)
	}
	var set *roles.AgentRoles
	if in.To != replica.Launching {
		queueRoleState(b, at.agentID, in.ReplicaID, &set, &out.Awaited)
	}
	err := tx.SendBatch(ctx, b).Close()
	return set, err
}

// queueRoleState reads the roles of an agent, and whether a person's promotion waits for
// the replica.
func queueRoleState(b *pgx.Batch, agentID, replicaID string, set **roles.AgentRoles, awaited *bool) {
	b.Queue(selectSet, agentID).QueryRow(func(row pgx.Row) (err error) {
		*set, err = scanRoles(row, agentID)
		return err
	})
	b.Queue(`SELECT EXISTS (SELECT FROM operations WHERE id = 'promotion/' || $1::text AND state = 'running')`,
		replicaID).
		QueryRow(func(row pgx.Row) error { return row.Scan(awaited) })
}

// costSoFar is what a replica's row has cost, in USD.
const costSoFar = `coalesce(hourly_cost * (extract(epoch FROM clock_timestamp() - launched_at) / 3600)::numeric, 0)`
