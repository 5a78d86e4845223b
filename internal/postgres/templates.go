package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"spotkeeper/activities"
	"spotkeeper/internal/postgres/pg"
)

// Templates finds new primaries whose template is not known yet.
type Templates struct {
	Launches
}

var _ activities.TemplateStore = (*Templates)(nil)

// FreshPrimaries lists primaries that became it within the span, that the control
// plane launches for, and whose template was never read, oldest first and without
// those named. It is asked every two seconds and goes by instances_primary_since_idx.
func (s *Templates) FreshPrimaries(
	ctx context.Context, within time.Duration, without []string, limit int,
) ([]activities.FreshPrimary, error) {
	rows, err := s.DB.Pool.Query(ctx, `
		SELECT a.id, i.id, i.region, c.id, c.role_arn, c.external_id, c.own_account, extract(epoch FROM clock_timestamp() - i.primary_since)::float8
		FROM instances i
		JOIN agents a ON a.id = i.agent_id
		JOIN clients c ON c.id = a.client_id
		WHERE i.role = 'primary' AND i.primary_since > now() - $1::float8 * interval '1 second'
			AND i.region <> '' AND i.proof <> 'unproven' AND a.status <> 'deleted' AND a.launcher = 'control-plane'
			AND i.id <> ALL ($2::text[])
			AND NOT EXISTS (SELECT FROM launch_templates t WHERE t.agent_id = a.id AND t.instance_id = i.id)
		ORDER BY i.primary_since
		LIMIT $3`, within.Seconds(), without, limit)
	if err != nil {
		return nil, pg.Translate(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p activities.FreshPrimary, err error) {
		var age float64
		err = row.Scan(&p.AgentID, &p.InstanceID, &p.Region, &p.Account.ClientID, &p.Account.RoleARN, &p.Account.ExternalID, &p.Account.Own, &age)
		p.Age = time.Duration(age * float64(time.Second))
		return p, err
	})
	return out, pg.Translate(err)
}
