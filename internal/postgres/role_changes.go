package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/postgres/pg"
)

var _ = pg.RegisterConstraint("instances_one_primary_per_agent", roles.StaleEpoch, "the agent has another primary already")
var _ = pg.RegisterConstraint("replicas_one_manual_per_agent", replica.AlreadyExists, "the agent has a standby already")

// ChangeRoles is the only place where an agent gets another primary: one transaction,
// guarded by the epoch. It commits the outcome of the notice that caused the change, the
// fate of the old primary and the notifications together. A change that was made already,
// by any caller, is success.
//
// Fails with roles.stale when the epoch moved on or an instance is not in the role
// that the caller believes, with replica.already_exists when the old primary is
// to be the standby and there is one, and with agent.not_found.
func (s *Roles) ChangeRoles(ctx context.Context, in roles.RoleChange) (*roles.AgentRoles, error) {
	var set *roles.AgentRoles
	err := s.DB.InTx(ctx, func(tx pgx.Tx) error {
		done, err := guardEpoch(ctx, tx, in)
		if err != nil {
			return err
		}
		b := &pgx.Batch{}
		if !done {
			queueChange(b, in)
			pg.QueueReview(b, in.AgentID)
		}
		queueOutcome(b, in)
		b.Queue(selectSet, in.AgentID).QueryRow(func(row pgx.Row) (err error) {
			set, err = scanRoles(row, in.AgentID)
			return err
		})
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return nil, err
	}
	return set, nil
}

// guardEpoch locks the agent and says whether the change was made already. It
// looks after the lock is held, in a statement of its own: one that waits for a
// lock sees everything else as it was before. Fails with roles.stale.
func guardEpoch(ctx context.Context, tx pgx.Tx, in roles.RoleChange) (done bool, err error) {
	var epoch int64
	b := &pgx.Batch{}
	b.Queue(pg.LockAgent, in.AgentID)
	b.Queue(`
		SELECT epoch, EXISTS (SELECT FROM role_changes WHERE agent_id = $1 AND replica_id = $2)
		FROM agents
		WHERE id = $1`, in.AgentID, in.ReplicaID).
		QueryRow(func(row pgx.Row) error { return row.Scan(&epoch, &done) })
	err = tx.SendBatch(ctx, b).Close()
	switch {
	case pg.IsNoRows(err):
		return false, pg.UnknownAgent(in.AgentID)
	case err == nil && !done && epoch != in.Epoch:
		err = roles.StaleEpoch.New("agent %s is at epoch %d, not %d", in.AgentID, epoch, in.Epoch)
	}
	return done, err
}

// queueChange queues the change itself. Each statement must find exactly the one
// row that it is about: together they check that each instance was in the role that
// the caller believed. The old primary goes first, because there is never a
// moment with two.
func queueChange(b *pgx.Batch, in roles.RoleChange) {
	role, by := oldPrimaryRole(in)
	must := func(what, sql string, args ...any) {
		q := b.Queue(sql, args...)
		q.Fn = func(br pgx.BatchResults) error {
			tag, err := br.Exec()
			if err == nil && tag.RowsAffected() != 1 {
				err = roles.StaleEpoch.New("%s of agent %s is not as it was believed to be", what, in.AgentID)
			}
			return err
		}
	}
	must(
		"the replica "+in.ReplicaID,
		`
			UPDATE replicas
			SET state = 'promoted', promoted_at = clock_timestamp(), ended_at = clock_timestamp(), total_cost = `+costSoFar+`
		WHERE id = $1 AND agent_id = $2 AND instance_id = $3 AND state IN ('running', 'ready')`,
		in.ReplicaID,
		in.AgentID,
		in.NewID,
	)
	pg.QueueNews(b, in.ReplicaID)
	must("the old primary "+in.OldID, `UPDATE instances SET role = $3,
			terminate_by = CASE WHEN $4 = 'us'
			AND EXISTS (SELECT FROM instances n WHERE n.id = $5 AND n.proof = 'unproven') THEN 'agent' ELSE $4 END,
			retiring_since = CASE WHEN $3 IN ('retiring', 'retired') THEN clock_timestamp() END
		WHERE agent_id = $1 AND id = $2 AND role = 'primary'`, in.AgentID, in.OldID, role, by, in.NewID)
	must(
		"the new primary "+in.NewID,
		`
		UPDATE instances
		SET role = 'primary', epoch = $3::bigint + 1, primary_since = clock_timestamp(), retiring_since = NULL,
			terminate_by = ''
		WHERE agent_id = $1 AND id = $2 AND role = 'replica' AND terminated_at IS NULL`,
		in.AgentID,
		in.NewID,
		in.Epoch,
	)
	must("the epoch", `UPDATE agents SET epoch = epoch + 1, updated_at = now(), failures = 0,
			last_failover_at = CASE WHEN $3 = 'termination' THEN clock_timestamp() ELSE last_failover_at END,
			last_switch_at = CASE WHEN $3 = 'termination' THEN last_switch_at ELSE clock_timestamp() END,
			interruptions_handled = interruptions_handled + CASE WHEN $3 = 'termination' THEN 1 ELSE 0 END
		WHERE id = $1 AND epoch = $2`, in.AgentID, in.Epoch, in.Cause)
	if in.Fate == roles.DemoteOld {
		must("the place of the standby", insertDemoted, in.AgentID, in.OldID, in.NewID,
			pg.SecondsOrNull(replica.RebalanceHold))
	}
	must("the history",
		`INSERT INTO role_changes (client_id, agent_id, epoch, old_id, new_id, replica_id, cause, operation_id)
		SELECT client_id, id, epoch, $2, $3, $4, $5, $6 FROM agents WHERE id = $1`, in.AgentID, in.OldID, in.NewID,
		in.ReplicaID, in.Cause, in.OperationID)
	must("the event", `INSERT INTO events (client_id, agent_id, type, severity, message, metadata, dedup_key)
		SELECT client_id, id, 'primary_changed', CASE WHEN $5 = 'termination' THEN 'warning' ELSE 'info' END,
			$3 || ' is primary instead of ' || $2,
			jsonb_build_object('old_primary', $2::text, 'new_primary', $3::text, 'replica_id', $4::text, 'cause',
			$5::text, 'operation_id', $6::text, 'epoch', epoch),
			'roles:' || id || '/' || epoch
		FROM agents WHERE id = $1`, in.AgentID, in.OldID, in.NewID, in.ReplicaID, in.Cause, in.OperationID)
	must("the notification", `INSERT INTO notifications (client_id, message, severity, dedup_key)
		SELECT client_id,
			CASE $4 WHEN 'termination' THEN 'Failover: ' WHEN 'switch' THEN 'Switch: ' ELSE 'Promotion: ' END
				|| logical_agent_id || ' runs on ' || $3 || ' now instead of ' || $2,
			CASE WHEN $4 = 'termination' THEN 'warning' ELSE 'info' END, 'roles:' || id || '/' || epoch
		FROM agents WHERE id = $1`, in.AgentID, in.OldID, in.NewID, in.Cause)
}

// oldPrimaryRole gives the new role of the old primary, and who ends it. A primary that an
// unproven instance replaces is left to its agent: an agent's claim ends no instance.
func oldPrimaryRole(in roles.RoleChange) (role, terminateBy string) {
	switch {
	case in.Fate == roles.DemoteOld:
		return "replica", ""
	case in.Fate == roles.KeepOld:
		return "retired", "nobody"
	case in.Fate == roles.LeaveOld && in.Cause == roles.ByTermination:
		return "retiring", "aws"
	case in.Fate == roles.LeaveOld:
		return "retiring", "agent"
	default:
		return "retiring", "us"
	}
}

// insertDemoted makes the old primary the standby. In manual mode it stays until
// it is needed; otherwise it is the way back for two hours.
const insertDemoted = `WITH made AS (
	INSERT INTO replicas (client_id, agent_id, kind, made_for, state, launcher, plan, pool_id, mode, instance_id, hold,
		hold_until,
		created_by, reason, launched_at, running_at, ready_at, sync_status, sync_progress)
	SELECT a.client_id, a.id, 'manual', $3, 'ready', i.launched_by,
		jsonb_build_object('pool', i.pool_id, 'mode', m.mode), i.pool_id, m.mode, i.id,
		CASE WHEN a.keeping <> 'manual' THEN $4::float8 * interval '1 second' END,
		CASE WHEN a.keeping <> 'manual' THEN clock_timestamp() + $4::float8 * interval '1 second' END,
		'system', 'the former primary', clock_timestamp(), clock_timestamp(), clock_timestamp(), 'synced', 100
	FROM agents a
	JOIN instances i ON i.id = $2
		AND i.agent_id = a.id, LATERAL (SELECT CASE i.mode WHEN 'ondemand' THEN 'ondemand' ELSE 'spot' END AS mode) m
	WHERE a.id = $1
	RETURNING id, client_id, agent_id, kind, made_for, instance_id)
	INSERT INTO operations (id, kind, client_id, agent_id, phase, summary, cause, replica_id, instance_id)
	SELECT 'replica/' || id, 'replica', client_id, agent_id, 'requested', kind || ' replica for ' || made_for, kind, id,
		instance_id
	FROM made`

// queueOutcome closes the notices about the old primary as promoted, also when
// another caller, a switch perhaps, made the same change first. A notice that was
// answered as lost has a successor after all.
func queueOutcome(b *pgx.Batch, in roles.RoleChange) {
	b.Queue(`
UPDATE notices n
SET result = 'promoted',
    replica_id = c.replica_id,
    new_primary = c.new_id,
    decided_at = clock_timestamp(),
    delivered_at = coalesce(n.delivered_at, clock_timestamp())
FROM role_changes c
WHERE c.agent_id = $1
  AND c.replica_id = $2
  AND n.agent_id = $1
  AND n.instance_id = c.old_id
  AND n.result IN ('', 'lost')`, in.AgentID, in.ReplicaID)
}
