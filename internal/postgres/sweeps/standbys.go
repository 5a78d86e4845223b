package sweeps

import (
	"context"

	"github.com/jackc/pgx/v5"

	"spotkeeper/activities"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/pg"
)

// Standbys finds the instances that stand by.
type Standbys struct {
	postgres.Roles
	postgres.Launches
}

var _ activities.StandbyStore = (*Standbys)(nil)

// selectHeld lists the instances of replicas that are ready, in groups of at most $1.
// Instances that the agent launched may be invisible to us: only the agent's reports count.
const selectHeld = `
WITH held AS (
    SELECT r.client_id, i.region, r.id, r.agent_id, i.id AS instance_id,
        i.created_at AS launched_at,
        (row_number() OVER (PARTITION BY r.client_id, i.region ORDER BY r.id) - 1) / $1 AS part
    FROM replicas r
    JOIN instances i ON i.id = r.instance_id
    WHERE r.state = 'ready'
      AND r.launcher = 'control-plane'
      AND i.region <> '')
SELECT h.client_id, c.role_arn, c.external_id, c.own_account, h.region,
    jsonb_agg(jsonb_build_object(
        'replica_id', h.id,
        'agent_id', h.agent_id,
        'instance_id', h.instance_id,
        'launched_at', h.launched_at))
FROM held h
JOIN clients c ON c.id = h.client_id
GROUP BY h.client_id, c.role_arn, c.external_id, c.own_account, h.region, h.part`

// ListHeld lists the instances of all replicas that are ready and that the control plane
// launched, grouped by account and region, at most perPlace in a group.
func (s *Standbys) ListHeld(ctx context.Context, perPlace int) ([]activities.HeldPlace, error) {
	rows, err := s.Launches.DB.Pool.Query(ctx, selectHeld, perPlace)
	if err != nil {
		return nil, pg.Translate(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p activities.HeldPlace, err error) {
		return p, row.Scan(&p.Account.ClientID, &p.Account.RoleARN, &p.Account.ExternalID, &p.Account.Own, &p.Region, &p.Held)
	})
	return out, pg.Translate(err)
}
