package postgres

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/internal/postgres/pg"
)

// OpenReplica makes the decision to have one more replica durable. The same
// decision again answers with the first one's replica: once per request, whatever
// became of it since, and while it is open once per agent for a standby, once
// for an emergency and once per command for a switch.
//
// With an InstanceID the instance exists already, so the replica begins as
// running and the instance plays its role. Fails with agent.not_found,
// agent.instance_of_another_tenant, roles.is_primary and switch.busy, and with
// switch.command_already_done for an order that was taken back meanwhile.
func (s *Roles) OpenReplica(ctx context.Context, in roles.ReplicaRequest) (*roles.ReplicaOpened, error) {
	out := &roles.ReplicaOpened{}
	err := s.DB.InTx(ctx, func(tx pgx.Tx) error {
		if err := lockAlive(ctx, tx, in.AgentID); err != nil {
			return err
		}
		if in.Kind == replica.Switch && in.InstanceID == "" {
			if err := stillOrdered(ctx, tx, in.For); err != nil {
				return err
			}
		}
		if in.InstanceID != "" {
			if err := assignInstance(ctx, tx, assignment{
				agentID:    in.AgentID,
				instanceID: in.InstanceID,
				poolID:     in.Plan.Pool,
				mode:       in.Plan.Mode,
				launcher:   agent.ByAgent,
			}); err != nil {
				return err
			}
		}
		b := &pgx.Batch{}
		if err := queueReplica(b, in); err != nil {
			return err
		}
		b.Queue(`SELECT `+replicaObject+
			` FROM replicas r WHERE r.agent_id = $1 AND (r.request_id = nullif($2, '') OR r.instance_id = nullif($5, '')
				OR (CASE $3 WHEN 'manual' THEN r.kind = 'manual' WHEN 'switch' THEN r.kind = 'switch' AND r.made_for = $4 ELSE r.kind IN ('rebalance', 'termination') END))
			ORDER BY (r.request_id = nullif($2, '')) DESC NULLS LAST, (r.state IN ('requested', 'launching', 'running', 'ready')) DESC, r.created_at DESC LIMIT 1`,
			in.AgentID, in.RequestID, in.Kind, in.For, in.InstanceID).QueryRow(func(row pgx.Row) error {
			err := row.Scan(&out.Replica)
			if pg.IsNoRows(err) { // the insert met another switch's replica
				return switching.Busy.New("another switch of this agent is in flight")
			}
			return err
		})
		b.Queue(selectSet, in.AgentID).QueryRow(func(row pgx.Row) (err error) {
			out.Set, err = scanRoles(row, in.AgentID)
			return err
		})
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// queueReplica opens a replica with its operation, unless an open one is in its place.
func queueReplica(b *pgx.Batch, in roles.ReplicaRequest) error {
	plan, err := json.Marshal(in.Plan)
	if err != nil {
		return err
	}
	tags := in.Tags
	if tags == nil {
		tags = map[string]string{}
	}
	b.Queue(insertReplica, in.AgentID, in.Kind, in.For, plan, in.Plan.Pool, launchMode(in.Plan.Mode), in.InstanceID,
		nullableSeconds(in.Hold), nullableSeconds(in.NotBefore),
		in.RequestID, in.CreatedBy, in.Reason, tags, in.Launcher)
	return nil
}

// stillOrdered refuses a switch whose order was taken back before its Guardian
// heard of it: its caller was told that it would not happen.
func stillOrdered(ctx context.Context, tx pgx.Tx, commandID string) error {
	var cancelled bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM commands WHERE id = $1 AND status = 'cancelled')`,
		commandID).Scan(&cancelled); err != nil {
		return err
	}
	if cancelled {
		return switching.AlreadyDone.New("The command is cancelled already.").With("status", "cancelled")
	}
	return nil
}

// poolForAgent is where the agent a is told to launch when the plan $4 leaves it
// open: the cheapest pool of its type outside its zone that did not just fail. An
// agent cannot fall back, and is shown no replica without a pool. When no price
// is known it is the primary's own pool.
const poolForAgent = `SELECT coalesce(pp.pool_id, i.pool_id) FROM instances i
	LEFT JOIN pool_prices pp ON pp.instance_type = i.instance_type AND pp.region = i.region AND NOT coalesce($4::jsonb->'exclude_zones', '[]') ? pp.az
	LEFT JOIN pool_health h ON h.client_id = a.client_id AND h.pool_id = pp.pool_id AND h.mode = 'spot'
	WHERE i.agent_id = a.id AND i.role = 'primary'
	ORDER BY coalesce(h.retry_after > now(), false), pp.az IS NOT DISTINCT FROM i.az, pp.price LIMIT 1`

const insertReplica = `WITH made AS (
		INSERT INTO replicas (client_id, agent_id, kind, made_for, launcher, plan, pool_id, mode, instance_id, state, running_at, launched_at,
			hold, not_before, request_id, created_by, reason, tags, sync_status)
		SELECT a.client_id, a.id, $2, $3, CASE WHEN $7 = '' THEN coalesce(nullif($14, ''), a.launcher) ELSE 'agent' END, $4,
			coalesce(nullif($5, ''), CASE WHEN $7 = '' AND coalesce(nullif($14, ''), a.launcher) = 'agent' AND $2 <> 'switch' THEN (` + poolForAgent + `) END), $6, nullif($7, ''),
			CASE WHEN $7 = '' THEN 'requested' ELSE 'running' END, CASE WHEN $7 <> '' THEN clock_timestamp() END, CASE WHEN $7 <> '' THEN clock_timestamp() END,
			$8::float8 * interval '1 second', clock_timestamp() + $9::float8 * interval '1 second',
			nullif($10, ''), $11, $12, $13,
			CASE WHEN $7 = '' THEN 'initializing' ELSE 'syncing' END
		FROM agents a WHERE a.id = $1 AND a.status <> 'deleted'
		ON CONFLICT DO NOTHING RETURNING id, client_id, agent_id, kind, made_for, created_by, instance_id),
	operation AS (
		INSERT INTO operations (id, kind, client_id, agent_id, phase, summary, cause, replica_id, instance_id)
		SELECT 'replica/' || id, 'replica', client_id, agent_id, 'requested', kind || ' replica for ' || made_for, kind, id, coalesce(instance_id, '') FROM made)
	INSERT INTO events (client_id, agent_id, type, message, metadata)
	SELECT client_id, agent_id, 'replica_decided', 'a ' || kind || ' replica was decided on',
		jsonb_build_object('replica_id', id, 'kind', kind, 'for', made_for, 'created_by', created_by) FROM made`

// lockAlive locks an agent that is not deleted. Fails with agent.not_found.
func lockAlive(ctx context.Context, tx pgx.Tx, agentID string) error {
	var deleted bool
	err := tx.QueryRow(ctx, `SELECT status = 'deleted' FROM agents WHERE id = $1 FOR NO KEY UPDATE`, agentID).
		Scan(&deleted)
	if pg.IsNoRows(err) || err == nil && deleted {
		return unknownAgent(agentID)
	}
	return err
}

// assignment gives an instance the role of a replica.
type assignment struct {
	agentID, instanceID string
	poolID              string // <type>.<zone>; empty: as the primary
	mode                agent.Mode
	launcher            agent.Launcher
	price               float64 // USD per hour; 0: unknown
}

var _ = pg.RegisterConstraint("replicas_one_living_per_instance", replica.OtherInstance,
	"the instance is another replica's")

// assignInstance records that the instance is a replica of the agent, and opens its
// adoption unless a launch of ours is on record. An instance that
// plays a part for the agent already keeps it, so a report that comes late takes
// nothing back. Fails with agent.instance_of_another_tenant and roles.is_primary.
func assignInstance(ctx context.Context, tx pgx.Tx, in assignment) error {
	instanceType, az, region := "", "", ""
	if in.poolID != "" {
		var err error
		if instanceType, az, err = agent.SplitPool(in.poolID); err != nil {
			return err
		}
		region = agent.RegionOf(az)
	}
	if in.mode == "" {
		in.mode = agent.ModeUnknown
	}
	var owner *string
	var role agent.Role
	var mine bool
	err := tx.QueryRow(
		ctx,
		`INSERT INTO instances AS i (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode, ami_id, launched_by, spot_price, proof)
		SELECT $2, a.client_id, a.id, 'replica', coalesce(nullif($3, ''), p.instance_type, ''),
			coalesce((SELECT k.region FROM pools k WHERE k.id = $6), CASE WHEN p.region <> '' AND starts_with($4, p.region) THEN p.region END, nullif($5, ''), p.region, ''),
			coalesce(nullif($4, ''), p.az, ''), coalesce(nullif($6, ''), p.pool_id, ''), $7, coalesce(p.ami_id, ''), $8, nullif($9::float8, 0)::numeric,
			CASE WHEN EXISTS (SELECT FROM launches l WHERE l.instance_id = $2 AND l.client_id = a.client_id AND l.state = 'launched') THEN 'launched' ELSE 'unproven' END
		FROM agents a LEFT JOIN instances p ON p.agent_id = a.id AND p.role = 'primary' WHERE a.id = $1
		ON CONFLICT (id) DO UPDATE SET agent_id = CASE WHEN i.client_id = excluded.client_id AND i.agent_id IS NULL THEN excluded.agent_id ELSE i.agent_id END
		RETURNING agent_id, role, client_id = (SELECT client_id FROM agents WHERE id = $1)`,
		in.agentID,
		in.instanceID,
		instanceType,
		az,
		region,
		in.poolID,
		in.mode,
		in.launcher,
		in.price,
	).Scan(&owner,
		&role, &mine)
	switch {
	case err != nil:
		return err
	case !mine || owner == nil || *owner != in.agentID:
		return agent.ForeignInst.New("instance %s is not this agent's", in.instanceID)
	case role == agent.Primary:
		return roles.IsPrimary.New("instance %s is the agent's primary and cannot stand by for itself", in.instanceID)
	}
	b := &pgx.Batch{}
	queueAdoption(b, in.instanceID)
	return tx.SendBatch(ctx, b).Close()
}

// launchMode is how an instance is bought when a mode is asked for: spot, unless
// on-demand is.
func launchMode(m agent.Mode) agent.Mode {
	if m == agent.OnDemand {
		return m
	}
	return agent.Spot
}

// nullableSeconds is a duration for SQL; zero is null.
func nullableSeconds(d time.Duration) *float64 {
	if d == 0 {
		return nil
	}
	s := d.Seconds()
	return &s
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
		queueReview(b, at.agentID)
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
	b.Queue(`SELECT agent_id, coalesce(instance_id, ''), coalesce(pool_id, ''), mode, launcher, kind, state FROM replicas WHERE id = $1 FOR UPDATE`, id).
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
	for _, s := range to.From() {
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
		`UPDATE replicas SET state = $2, instance_id = coalesce(instance_id, nullif($3, '')), pool_id = coalesce($4, pool_id), mode = coalesce($5, mode),
			hourly_cost = coalesce(nullif($6::float8, 0)::numeric, hourly_cost),
			launched_at = CASE WHEN $3 <> '' OR $2 = 'launching' THEN coalesce(launched_at, clock_timestamp()) ELSE launched_at END,
			running_at = CASE WHEN $2 IN ('running', 'ready') THEN coalesce(running_at, clock_timestamp()) ELSE running_at END,
			ready_at = CASE WHEN $2 = 'ready' THEN coalesce(ready_at, clock_timestamp()) ELSE ready_at END,
			hold_until = CASE WHEN $2 = 'ready' THEN coalesce(hold_until, clock_timestamp() + hold) ELSE hold_until END,
			sync_status = CASE $2 WHEN 'running' THEN 'syncing' WHEN 'ready' THEN 'synced' ELSE sync_status END,
			sync_progress = CASE WHEN $2 = 'ready' THEN 100 ELSE sync_progress END,
			ended_at = CASE WHEN $2 IN ('retired', 'failed') THEN coalesce(ended_at, clock_timestamp()) ELSE ended_at END,
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
			queueNews(b, in.ReplicaID)
		}
		switch in.To {
		case replica.Ready:
			b.Queue(`UPDATE agents SET failures = 0 WHERE id = $1 AND failures > 0 AND $2 <> 'switch'`, at.agentID,
				at.kind)
		case replica.Failed:
			b.Queue(`UPDATE agents SET failures = failures + 1 WHERE id = $1 AND $2 = 'manual'`, at.agentID, at.kind)
			b.Queue(`INSERT INTO events (client_id, agent_id, type, severity, message, metadata, dedup_key)
				SELECT client_id, agent_id, 'replica_failed', 'warning', 'a ' || kind || ' replica failed: ' || coalesce(error, error_code, 'no reason given'),
					jsonb_build_object('replica_id', id, 'kind', kind, 'code', error_code, 'instance_id', instance_id), 'replica-failed:' || id
				FROM replicas WHERE id = $1 ON CONFLICT (dedup_key) DO NOTHING`, in.ReplicaID)
		}
	}
	if in.To == replica.Retired {
		b.Queue(
			`UPDATE instances i SET role = 'retired', retiring_since = coalesce(i.retiring_since, clock_timestamp()),
				terminated_at = CASE WHEN i.terminate_by = 'nobody' THEN i.terminated_at ELSE coalesce(i.terminated_at, clock_timestamp()) END
			FROM replicas r WHERE r.id = $1 AND i.id = r.instance_id AND i.role <> 'primary'`,
			in.ReplicaID,
		)
	}
	var set *roles.AgentRoles
	if in.To != replica.Launching {
		queueStanding(b, at.agentID, in.ReplicaID, &set, &out.Awaited)
	}
	err := tx.SendBatch(ctx, b).Close()
	return set, err
}

// queueStanding reads the roles of an agent, and whether a person's promotion waits for
// the replica.
func queueStanding(b *pgx.Batch, agentID, replicaID string, set **roles.AgentRoles, awaited *bool) {
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
