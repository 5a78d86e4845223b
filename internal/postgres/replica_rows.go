package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/postgres/pg"
)

// selectReplicaRow reads a roles.ReplicaRow. An instance remains when EC2 may still run
// it for this replica alone: it has not ended, it is no primary, it is to be ended by
// us, and no other replica has it.
var selectReplicaRow = `
SELECT jsonb_build_object(
    'agent_id', r.agent_id,
    'client_id', r.client_id,
    'logical_id', a.logical_agent_id,
    'epoch', a.epoch,
    'launcher', a.launcher,
    'replica', ` + replicaObject + `,
    'mode', r.mode,
    'hold_left', greatest(coalesce((extract(epoch FROM r.hold_until - clock_timestamp()) * 1000000000)::bigint, 0), 0),
    'error_code', coalesce(r.error_code, ''),
    'error', coalesce(r.error, ''),
    'launch', CASE WHEN l.instance_id IS NOT NULL
        THEN jsonb_build_object('instance_id', l.instance_id, 'pool_id', l.pool_id, 'mode', l.mode) END,
    'remains', coalesce(i.id, ''),
    'primary_id', coalesce(p.id, ''),
    'noticed', n.instance_id IS NOT NULL,
    'notice_age',
    greatest(coalesce((extract(epoch FROM clock_timestamp() - n.received_at) * 1000000000)::bigint, 0), 0))
FROM replicas r
JOIN agents a ON a.id = r.agent_id
LEFT JOIN launches l ON l.replica_id = r.id AND l.state = 'launched'
LEFT JOIN instances i ON i.id = coalesce(r.instance_id, l.instance_id)
    AND i.agent_id = r.agent_id
    AND i.terminated_at IS NULL
    AND i.role IN ('replica', 'retiring')
    AND i.terminate_by IN ('', 'us')
    AND NOT EXISTS (
        SELECT FROM replicas o
        WHERE o.instance_id = i.id
          AND o.id <> r.id
          AND o.state IN ('requested', 'launching', 'running', 'ready'))
LEFT JOIN instances p ON p.agent_id = r.agent_id AND p.role = 'primary'
LEFT JOIN notices n ON n.agent_id = r.agent_id
    AND n.instance_id = p.id
    AND n.kind = 'termination-notice'
    AND n.result IN ('', 'lost')
WHERE r.id = $1`

// LoadReplica reads the row of a replica in any state. Fails with
// replica.not_found.
func (s *Roles) LoadReplica(ctx context.Context, replicaID string) (*roles.ReplicaRow, error) {
	var out roles.ReplicaRow
	err := s.DB.Pool.QueryRow(ctx, selectReplicaRow, replicaID).Scan(&out)
	if pg.IsNoRows(err) {
		return nil, noReplica(replicaID)
	}
	if err != nil {
		return nil, pg.Translate(err)
	}
	return &out, nil
}

func noReplica(id string) error { return replica.NotFound.New("there is no replica %s", id) }

// ReplaceInstance takes an instance that ended before it ran away from its replica, so
// that the same replica may launch in another pool: the attempt is failed and keeps
// its instance's id, the instance is retired unless EC2 merely does not show it, and the replica
// has none. It says whether the
// replica may launch again, which it may not when it is over or has run meanwhile. An
// instance that was taken away before is success. Fails with replica.not_found.
func (s *Roles) ReplaceInstance(ctx context.Context, in roles.Replacement) (bool, error) {
	var ok bool
	err := s.DB.InTx(ctx, func(tx pgx.Tx) error {
		at, err := lockReplica(ctx, tx, in.ReplicaID)
		if err != nil {
			return err
		}
		ok = at.launches() && (at.instanceID == "" || at.instanceID == in.InstanceID)
		if !ok {
			return nil
		}
		code := replica.InstanceGone
		if in.Unseen {
			code = replica.Unseen
		}
		b := &pgx.Batch{}
		b.Queue(`
UPDATE launches
SET state = 'failed',
    error_code = $3,
    error = $4,
    ended_at = clock_timestamp()
WHERE replica_id = $1
  AND instance_id = $2
  AND state = 'launched'`, in.ReplicaID, in.InstanceID, code, in.Reason)
		if !in.Unseen {
			b.Queue(`
UPDATE instances
SET role = 'retired',
    retiring_since = coalesce(retiring_since, clock_timestamp()),
    terminated_at = coalesce(terminated_at, clock_timestamp())
WHERE id = $1
  AND agent_id = $2
  AND role IN ('replica', 'retiring')`, in.InstanceID, at.agentID)
		}
		b.Queue(`
UPDATE replicas
SET instance_id = NULL,
    launched_at = NULL
WHERE id = $1`, in.ReplicaID)
		return tx.SendBatch(ctx, b).Close()
	})
	return ok, err
}

// TakeOverLaunch makes the control plane the launcher of a replica whose agent has
// launched nothing, and says whether it is now. It is not when the replica is over or
// has an instance. A second call finds it done. Fails with replica.not_found.
func (s *Roles) TakeOverLaunch(ctx context.Context, replicaID string) (bool, error) {
	var ok bool
	err := s.DB.InTx(ctx, func(tx pgx.Tx) error {
		at, err := lockReplica(ctx, tx, replicaID)
		if err != nil {
			return err
		}
		if ok = at.launches() && at.instanceID == ""; !ok {
			return nil
		}
		_, err = tx.Exec(ctx, `
WITH taken AS (
    UPDATE replicas
    SET launcher = 'control-plane'
    WHERE id = $1
      AND launcher = 'agent'
      AND instance_id IS NULL
    RETURNING id, client_id, agent_id, kind)
INSERT INTO events (client_id, agent_id, type, severity, message, metadata, dedup_key)
SELECT client_id, agent_id, 'replica_launch_taken_over', 'warning',
    'the agent has launched no instance for a ' || kind || ' replica: the control plane launches it',
    jsonb_build_object('replica_id', id, 'kind', kind),
    'launch-taken-over:' || id
FROM taken
ON CONFLICT (dedup_key) DO NOTHING`, replicaID)
		return err
	})
	return ok, err
}

// launches says whether the replica is still to get an instance that runs.
func (at lockedReplica) launches() bool {
	return at.state == replica.Requested || at.state == replica.Launching
}
