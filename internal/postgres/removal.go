package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/postgres/audit"
	"spotkeeper/internal/postgres/pg"
)

// Remove marks an agent deleted and answers what has to be ended after it: its
// open replicas are retiring, its pending commands cancelled, its notices closed,
// its primary has no agent. What we launched is ours to end, also what was kept after a
// move or is left to AWS, because no row names it afterwards. An instance
// that we did not launch is the tenant's and keeps running. A second removal answers
// what is still left.
// Fails with agent.not_found.
func (s *Roles) Remove(ctx context.Context, agentID, by string) (*activities.Removed, error) {
	out := &activities.Removed{Replicas: []string{}, Instances: []string{}}
	err := s.DB.InTx(ctx, func(tx pgx.Tx) error {
		var clientID string
		if err := tx.QueryRow(ctx, pg.LockAgent, agentID).Scan(&clientID); pg.IsNoRows(err) {
			return pg.UnknownAgent(agentID)
		} else if err != nil {
			return err
		}
		var before []byte // the state for the event, read before any change
		if err := tx.QueryRow(ctx, `SELECT `+audit.AgentSnapshot+` FROM agents a WHERE a.id = $1`, agentID).
			Scan(&before); err != nil {
			return err
		}
		b := &pgx.Batch{}
		queueRemoval(b, agentID, by, before)
		queueOperation(b, opened{
			kind:    "removal",
			id:      "removal/" + agentID,
			agentID: agentID,
			summary: "removal of agent " + agentID,
			cause:   by,
		})
		b.Queue(`SELECT id FROM replicas WHERE agent_id = $1 AND state = 'retiring' ORDER BY created_at, id`, agentID).
			Query(pg.CollectIDs(&out.Replicas))
		b.Queue(`
			SELECT id
			FROM instances i
			WHERE agent_id = $1 AND role = 'retiring' AND terminate_by = 'us' AND terminated_at IS NULL
				AND NOT EXISTS (SELECT FROM replicas r WHERE r.instance_id = i.id AND r.state = 'retiring') ORDER BY id`, agentID).
			Query(pg.CollectIDs(&out.Instances))
		b.Queue(selectSet, agentID).QueryRow(func(row pgx.Row) (err error) {
			out.Set, err = scanRoles(row, agentID)
			return err
		})
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func queueRemoval(b *pgx.Batch, agentID, by string, before []byte) {
	b.Queue(
		`
			UPDATE replicas
			SET state = 'retiring'
			WHERE agent_id = $1 AND state IN ('requested', 'launching', 'running', 'ready')`,
		agentID,
	)
	pg.QueueNewsOfAll(b, agentID)
	b.Queue(
		`
			UPDATE commands
			SET status = 'cancelled', message = 'the agent was deleted'
			WHERE agent_id = $1 AND status = 'pending'`,
		agentID,
	)
	b.Queue(`UPDATE agents SET review_at = NULL WHERE id = $1`, agentID)
	b.Queue(
		`
		UPDATE notices
		SET result = 'not_primary', decided_at = clock_timestamp(),
			delivered_at = coalesce(delivered_at, clock_timestamp())
		WHERE agent_id = $1 AND result = ''`,
		agentID,
	)
	b.Queue(`UPDATE instances SET role = CASE launched_by WHEN 'control-plane' THEN 'retiring' ELSE 'retired' END,
			terminate_by = CASE launched_by WHEN 'control-plane' THEN 'us' ELSE 'nobody' END,
			retiring_since = coalesce(retiring_since, clock_timestamp())
		WHERE agent_id = $1 AND (role IN ('primary', 'replica')
			OR launched_by = 'control-plane' AND terminated_at IS NULL AND terminate_by <> 'us')`, agentID)
	b.Queue(`WITH gone AS (
			UPDATE agents
			SET status = 'deleted', enabled = false, keeping = 'off', replica_enabled = false, replica_count = 0,
				terminated_at = now(), updated_at = now()
			WHERE id = $1 AND status <> 'deleted' RETURNING id, client_id, logical_agent_id),
		event AS (
			INSERT INTO events (client_id, agent_id, type, severity, actor, message, metadata)
			SELECT client_id, id, 'agent_deleted', 'warning', coalesce(nullif($2, ''), 'system'),
				'agent ' || logical_agent_id || ' was deleted',
				jsonb_build_object('before', $3::jsonb, 'after',
				$3::jsonb || '{"status": "deleted", "enabled": false, "keeping": "off", "primary": null, "replicas": []}')
				FROM gone)
		INSERT INTO notifications (client_id, message, severity)
		SELECT client_id, 'Agent ' || logical_agent_id || ' has been deleted', 'warning'
		FROM gone`, agentID, by, before)
}

// MarkRetiring takes an instance out of its role before it is terminated, and
// answers where it is. The refusal of a primary and the mark are one
// statement, so no change of roles comes between them. One that is retiring or
// retired already is answered again. Fails with roles.is_primary and
// agent.instance_of_another_tenant.
func (s *Launches) MarkRetiring(ctx context.Context, agentID, instanceID string) (*activities.EndingInstance, error) {
	var out activities.EndingInstance
	var role string
	err := s.DB.Pool.QueryRow(ctx, `UPDATE instances i SET
			role = CASE WHEN i.role = 'replica' THEN 'retiring' ELSE i.role END,
			terminate_by = CASE WHEN i.role IN ('replica', 'retiring') THEN 'us' ELSE i.terminate_by END,
			retiring_since = CASE WHEN i.role = 'replica' THEN clock_timestamp() ELSE i.retiring_since END
		FROM clients c WHERE i.id = $2 AND i.agent_id = $1 AND c.id = i.client_id
		RETURNING i.role, i.region, c.id, c.role_arn, c.external_id, c.own_account, i.terminated_at IS NOT NULL,
			i.created_at, i.proof`, agentID, instanceID).
		Scan(&role, &out.Region, &out.Account.ClientID, &out.Account.RoleARN, &out.Account.ExternalID,
			&out.Account.Own, &out.Ended, &out.LaunchedAt, &out.Proof)
	switch {
	case pg.IsNoRows(err):
		return nil, agent.InstanceOfOtherTenant.New("instance %s is not this agent's", instanceID)
	case err != nil:
		return nil, pg.Translate(err)
	case role == "primary":
		return nil, roles.IsPrimary.New("instance %s is its agent's primary and is not terminated", instanceID)
	}
	return &out, nil
}

// MarkRetired records that an instance has ended. A primary is never marked: an
// agent whose primary ended is still waiting for a successor.
func (s *Launches) MarkRetired(ctx context.Context, instanceID string) error {
	_, err := s.DB.Pool.Exec(ctx,
		`UPDATE instances SET role = 'retired', retiring_since = coalesce(retiring_since, clock_timestamp()),
			terminated_at = coalesce(terminated_at, clock_timestamp()) WHERE id = $1 AND role <> 'primary'`, instanceID)
	return pg.Translate(err)
}
