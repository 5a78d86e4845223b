package postgres

import (
	"context"
	"encoding/json"

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
		if err := pg.LockAlive(ctx, tx, in.AgentID); err != nil {
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
				OR (CASE $3 WHEN 'manual' THEN r.kind = 'manual' WHEN 'switch' THEN r.kind = 'switch'
				AND r.made_for = $4 ELSE r.kind IN ('rebalance', 'termination') END))
			ORDER BY (r.request_id = nullif($2, '')) DESC NULLS LAST,
				(r.state IN ('requested', 'launching', 'running', 'ready')) DESC, r.created_at DESC
			LIMIT 1`,
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
		pg.SecondsOrNull(in.Hold), pg.SecondsOrNull(in.NotBefore),
		in.RequestID, in.CreatedBy, in.Reason, tags, in.Launcher)
	return nil
}

// stillOrdered refuses a switch whose order was withdrawn before its Guardian took it up:
// the caller got the answer that it would not happen.
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

// poolForAgent is the pool in which the agent a is to launch when the plan $4 leaves it
// open: the cheapest pool of its type outside its zone that did not just fail. An
// agent cannot fall back, and is shown no replica without a pool. When no price
// is known it is the primary's own pool.
const poolForAgent = `SELECT coalesce(pp.pool_id, i.pool_id) FROM instances i
	LEFT JOIN pool_prices pp ON pp.instance_type = i.instance_type
		AND pp.region = i.region
		AND NOT coalesce($4::jsonb->'exclude_zones', '[]') ? pp.az
	LEFT JOIN pool_health h ON h.client_id = a.client_id AND h.pool_id = pp.pool_id AND h.mode = 'spot'
	WHERE i.agent_id = a.id AND i.role = 'primary'
	ORDER BY EXISTS (SELECT
			FROM pool_blocks b
			WHERE b.pool_id = pp.pool_id AND b.subject IN ('', a.client_id) AND b.until > now()),
		coalesce(h.retry_after > now(), false), pp.az IS NOT DISTINCT FROM i.az, pp.price LIMIT 1`

const insertReplica = `WITH made AS (
		INSERT INTO replicas (client_id, agent_id, kind, made_for, launcher, plan, pool_id, mode, instance_id, state,
			running_at, launched_at,
			hold, not_before, request_id, created_by, reason, tags, sync_status)
		SELECT a.client_id, a.id, $2, $3, CASE WHEN $7 = '' THEN coalesce(nullif($14, ''), a.launcher) ELSE 'agent' END,
			$4,
			coalesce(nullif($5, ''), CASE WHEN $7 = ''
			AND coalesce(nullif($14, ''), a.launcher) = 'agent'
			AND $2 <> 'switch' THEN (` + poolForAgent + `
			) END), $6, nullif($7, ''),
			CASE WHEN $7 = '' THEN 'requested' ELSE 'running' END, CASE WHEN $7 <> '' THEN clock_timestamp() END,
			CASE WHEN $7 <> '' THEN clock_timestamp() END,
			$8::float8 * interval '1 second', clock_timestamp() + $9::float8 * interval '1 second',
			nullif($10, ''), $11, $12, $13,
			CASE WHEN $7 = '' THEN 'initializing' ELSE 'syncing' END
		FROM agents a WHERE a.id = $1 AND a.status <> 'deleted'
		ON CONFLICT DO NOTHING
		RETURNING id, client_id, agent_id, kind, made_for, created_by, instance_id, not_before, request_id),
	former AS (` + formerTry + `),
	operation AS (
		INSERT INTO operations (id, kind, client_id, agent_id, phase, summary, cause, replica_id, instance_id, retry_of)
		SELECT 'replica/' || id, 'replica', client_id, agent_id, 'requested', kind || ' replica for ' || made_for, kind,
			id, coalesce(instance_id, ''), (SELECT first FROM former)
		FROM made),
	counted AS (
		UPDATE operations o
		SET tries = tries + 1,
			next_try_at = m.not_before
		FROM made m, former f
		WHERE o.id = f.first)
	INSERT INTO events (client_id, agent_id, type, message, metadata)
	SELECT client_id, agent_id, 'replica_decided', 'a ' || kind || ' replica was decided on',
		jsonb_build_object('replica_id', id, 'kind', kind, 'for', made_for, 'created_by', created_by)
	FROM made
	WHERE NOT EXISTS (SELECT FROM former)`

// formerTry finds what the replica in made is another try of: the last one of its kind for
// the same instance, which failed. What a person asks for is no other try. first is the
// operation that the tries are counted at.
const formerTry = `
		SELECT coalesce(o.retry_of, o.id) AS first
		FROM made m
		CROSS JOIN LATERAL (
			SELECT p.id, p.state
			FROM replicas p
			WHERE p.agent_id = m.agent_id
			  AND p.kind = m.kind
			  AND p.made_for = m.made_for
			  AND p.kind <> 'switch'
			  AND p.id <> m.id
			ORDER BY p.created_at DESC
			LIMIT 1) p
		JOIN operations o ON o.id = 'replica/' || p.id
		WHERE p.state = 'failed'
		  AND m.request_id IS NULL
		  AND m.instance_id IS NULL`

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
		`
		INSERT INTO instances AS i (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode, ami_id,
			launched_by, spot_price, proof)
		SELECT $2, a.client_id, a.id, 'replica', coalesce(nullif($3, ''), p.instance_type, ''),
			coalesce((SELECT k.region FROM pools k WHERE k.id = $6), CASE WHEN p.region <> ''
			AND starts_with($4, p.region) THEN p.region END, nullif($5, ''), p.region, ''),
			coalesce(nullif($4, ''), p.az, ''), coalesce(nullif($6, ''), p.pool_id, ''), $7, coalesce(p.ami_id, ''), $8,
			nullif($9::float8, 0)::numeric,
			CASE WHEN EXISTS (SELECT
				FROM launches l
				WHERE l.instance_id = $2
					AND l.client_id = a.client_id
					AND l.state = 'launched') THEN 'launched' ELSE 'unproven' END
		FROM agents a LEFT JOIN instances p ON p.agent_id = a.id AND p.role = 'primary' WHERE a.id = $1
		ON CONFLICT (id)
		DO UPDATE SET agent_id = CASE WHEN i.client_id = excluded.client_id
			AND i.agent_id IS NULL THEN excluded.agent_id ELSE i.agent_id END
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
		return agent.InstanceOfOtherTenant.New("instance %s is not this agent's", in.instanceID)
	case role == agent.Primary:
		return roles.IsPrimary.New("instance %s is the agent's primary and cannot stand by for itself", in.instanceID)
	}
	b := &pgx.Batch{}
	pg.QueueAdoption(b, in.instanceID)
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
