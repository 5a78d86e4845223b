package sweeps

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/postgres/pg"
)

// departed is about the instance i that the agent a left: its end was reported, or
// it is not the control plane's to end and has been silent for agent.LostAfter
// since it began to retire and since its deadline. The deadline is that of its
// notice; an agent that ends the instance itself has its waiting time as well.
var departed = fmt.Sprintf(`i.role = 'retiring' AND (i.terminated_at IS NOT NULL
		OR i.terminate_by IN ('agent', 'aws', 'nobody') AND (
			EXISTS (SELECT
				FROM switches s
				WHERE s.agent_id = i.agent_id AND s.old_id = i.id AND s.timing ? 'old_terminated_at')
			OR greatest(i.retiring_since, i.last_seen_at) < clock_timestamp() - interval '%d seconds'
				AND (i.terminate_by <> 'agent'
				OR i.retiring_since < clock_timestamp() - make_interval(secs => a.terminate_wait_seconds))
				AND NOT EXISTS (SELECT FROM notices n
					WHERE n.agent_id = i.agent_id
						AND n.instance_id = i.id
						AND n.kind = 'termination-notice'
						AND n.deadline > clock_timestamp())))`,
	int(agent.LostAfter.Seconds()))

// inSight is about the same two: the control plane launches for the agent, or
// launched the instance, and it is proven, so EC2 can be asked.
const inSight = `(a.launcher = 'control-plane' OR i.launched_by = 'control-plane') AND i.region <> '' AND i.proof <> 'unproven'`

// retireDeparted marks the departed instances retired that a condition names, with
// one event for each. It locks no agent, so it waits for no instance either: one
// that is being written is left for the next run.
func (s *Silence) retireDeparted(ctx context.Context, condition string, args ...any) (int, error) {
	var n int
	err := s.DB.Pool.QueryRow(ctx, `WITH gone AS (
			SELECT i.id
			FROM instances i
			JOIN agents a ON a.id = i.agent_id
			WHERE `+departed+` AND `+condition+`
			ORDER BY i.retiring_since
			LIMIT $1
			FOR NO KEY UPDATE OF i SKIP LOCKED),
		marked AS (
			UPDATE instances i
			SET role = 'retired',
				terminated_at = CASE WHEN i.terminate_by = 'nobody' THEN i.terminated_at
					ELSE coalesce(i.terminated_at, greatest(i.last_seen_at, i.retiring_since)) END
			FROM gone
			WHERE i.id = gone.id
			RETURNING i.id, i.client_id, i.agent_id, i.last_seen_at, i.terminate_by),
		event AS (
			INSERT INTO events (client_id, agent_id, type, message, metadata, dedup_key)
			SELECT client_id, agent_id, 'instance_retired',
				id || ' counts as ended: its end was reported, or it is not heard of any more',
				jsonb_build_object('instance_id', id, 'last_seen_at', last_seen_at, 'terminate_by', terminate_by),
				'departed:' || id
			FROM marked
			ON CONFLICT (dedup_key) DO NOTHING)
		SELECT count(*) FROM marked`, args...).Scan(&n)
	return n, pg.Translate(err)
}

// RetireDeparted marks the departed instances retired that EC2 cannot be asked
// about, at most limit at once, longest retiring first. It says how many. A second
// run finds them retired.
func (s *Silence) RetireDeparted(ctx context.Context, limit int) (int, error) {
	return s.retireDeparted(ctx, `NOT (`+inSight+`)`, limit)
}

// RetireOne marks one departed instance retired, unless it sent a heartbeat meanwhile.
func (s *Silence) RetireOne(ctx context.Context, instanceID string) error {
	_, err := s.retireDeparted(ctx, `i.id = $2`, 1, instanceID)
	return err
}

// Departed lists departed instances that EC2 can be asked about, in no order: those
// about which it has no answer must not keep the others from being asked about.
func (s *Silence) Departed(ctx context.Context, limit int) ([]activities.Departed, error) {
	rows, err := s.DB.Pool.Query(ctx, `
		SELECT i.id, i.agent_id, i.region, i.created_at, c.id, c.role_arn, c.external_id, c.own_account
		FROM instances i
		JOIN agents a ON a.id = i.agent_id
		JOIN clients c ON c.id = i.client_id
		WHERE `+departed+` AND `+inSight+`
		ORDER BY random()
		LIMIT $1`, limit)
	if err != nil {
		return nil, pg.Translate(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d activities.Departed, err error) {
		return d, row.Scan(&d.InstanceID, &d.AgentID, &d.Region, &d.LaunchedAt, &d.Account.ClientID,
			&d.Account.RoleARN, &d.Account.ExternalID, &d.Account.Own)
	})
	return out, pg.Translate(err)
}
