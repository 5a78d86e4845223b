package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/agent"
)

// takeOver makes an instance that nobody launched for us the agent's primary
// when the agent has none, or when its primary is lost: it was noticed and ended
// without an heir, or it has been silent for agent.LostAfter. While anything is
// in flight that could bring an heir (a replica, a switch, a notice) it does
// nothing, and an instance that was replaced before never comes back this way,
// because that one has a row. The caller holds the agent's lock; the epoch moves
// as with every change of primary, and the old instance is nobody's to end.
func takeOver(ctx context.Context, tx pgx.Tx, agentID string, r agent.Registration) (bool, error) {
	var old *string
	var epoch int64
	err := tx.QueryRow(ctx, `
		SELECT i.id, a.epoch FROM agents a LEFT JOIN instances i ON i.agent_id = a.id AND i.role = 'primary'
		WHERE a.id = $1 AND a.status <> 'deleted'
			AND (i.id IS NULL OR greatest(i.last_seen_at, i.primary_since, i.installed_at) < clock_timestamp() - $2::float8 * interval '1 second'
				OR EXISTS (SELECT FROM notices n WHERE n.agent_id = a.id AND n.instance_id = i.id AND n.result = 'lost'))
			AND NOT EXISTS (SELECT FROM replicas r WHERE r.agent_id = a.id AND r.state IN ('requested', 'launching', 'running', 'ready'))
			AND NOT EXISTS (SELECT FROM notices n WHERE n.agent_id = a.id AND n.result = '' AND n.kind = 'termination-notice')
			AND NOT EXISTS (SELECT FROM commands c WHERE c.agent_id = a.id AND c.status = 'pending')
			AND NOT EXISTS (SELECT FROM switches s WHERE s.agent_id = a.id AND s.phase IN ('launching', 'waiting_until_ready', 'cutting_over'))`,
		agentID, agent.LostAfter.Seconds()).Scan(&old, &epoch)
	if noRows(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	b, was := &pgx.Batch{}, ""
	if old != nil {
		was = *old
		b.Queue(`UPDATE instances SET role = 'retired', terminate_by = 'nobody', retiring_since = clock_timestamp() WHERE id = $1 AND role = 'primary'`, was)
	}
	b.Queue(`UPDATE agents SET epoch = epoch + 1, last_switch_at = clock_timestamp() WHERE id = $1 AND epoch = $2`, agentID, epoch)
	queueFirstInstance(b, agentID, r)
	b.Queue(`INSERT INTO role_changes (client_id, agent_id, epoch, old_id, new_id, replica_id, cause) VALUES ($1, $2, $3, $4, $5, $6, 'takeover')`,
		r.ClientID, agentID, epoch+1, was, r.InstanceID, fmt.Sprintf("takeover/%s/%d", agentID, epoch+1))
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return false, err
	}
	message := r.LogicalID + " lives on " + r.InstanceID + " now"
	if was != "" {
		message += "; " + was + " is lost"
	}
	return true, tell(ctx, tx, told{
		ClientID: r.ClientID, AgentID: agentID, Type: "primary_taken_over", Severity: "warning", Actor: "agent", Message: message, Notify: true,
		Metadata: map[string]any{"old_primary": was, "new_primary": r.InstanceID, "epoch": epoch + 1},
	})
}
