package postgres

import (
	"context"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/postgres/pg"
)

// Termination reads the state of the loss of an instance: the notice with the moments
// of its failover, the agent's settings, and what is still to be called off. Fails
// with agent.not_found when there is no such notice.
func (s *Roles) Termination(ctx context.Context, agentID, instanceID string) (*activities.TerminationFacts, error) {
	out := &activities.TerminationFacts{Notice: interruption.Notice{
		AgentID:    agentID,
		InstanceID: instanceID,
		Kind:       interruption.Termination,
	}}
	o := &out.Outcome
	o.InstanceID, o.Kind = instanceID, interruption.Termination
	err := s.DB.Pool.QueryRow(ctx, `
SELECT n.deadline,
    n.deadline <= clock_timestamp(),
    (extract(epoch FROM n.deadline - clock_timestamp()) * 1000000000)::bigint,
    n.door,
    n.action,
    n.arrived_at,
    n.received_at,
    n.result,
    coalesce(n.replica_id, ''),
    coalesce(n.new_primary, ''),
    c.changed_at,
    op.started_at,
    a.keeping,
    a.launcher,
    a.logical_agent_id,
    coalesce(i.role = 'primary', false),
    i.terminated_at IS NOT NULL,
    coalesce(i.terminate_by, ''),
    coalesce((
        SELECT array_agg('switch/' || k.id)
        FROM commands k
        WHERE k.agent_id = n.agent_id
          AND k.status = 'pending'
          AND k.command_type = 'switch'), '{}')
FROM notices n
JOIN agents a ON a.id = n.agent_id
LEFT JOIN instances i ON i.id = n.instance_id AND i.agent_id = n.agent_id
LEFT JOIN role_changes c ON c.agent_id = n.agent_id AND c.old_id = n.instance_id AND c.replica_id = n.replica_id
LEFT JOIN operations op ON op.id = 'termination/' || n.agent_id || '/' || n.instance_id
WHERE n.agent_id = $1
  AND n.instance_id = $2
  AND n.kind = 'termination-notice'`, agentID, instanceID).
		Scan(&o.Deadline, &o.Past, &o.Left, &out.Notice.Door, &out.Notice.Action, &out.ArrivedAt, &out.ReceivedAt, &o.Result,
			&o.ReplicaID, &o.NewPrimary, &out.ChangedAt,
			&out.JudgedAt, &out.Keeping, &out.Launcher, &out.LogicalID, &out.Primary, &out.Gone,
			&out.EndedBy, &out.Switches)
	if pg.IsNoRows(err) {
		return nil, pg.UnknownAgent(agentID)
	}
	if err != nil {
		return nil, pg.Translate(err)
	}
	o.Deadline = o.Deadline.UTC()
	out.Notice.Deadline = o.Deadline
	return out, nil
}
