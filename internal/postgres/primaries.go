package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"spotkeeper/activities"
	"spotkeeper/internal/interruption"
	"spotkeeper/internal/roles"
)

// Primaries finds instances that agents live on and that want looking at.
type Primaries struct {
	Launches
}

var _ activities.PrimaryStore = (*Primaries)(nil)

const primaryColumns = `SELECT a.id, i.id, i.region, c.id, c.role_arn, c.external_id
	FROM instances i JOIN agents a ON a.id = i.agent_id JOIN clients c ON c.id = a.client_id
	WHERE i.role = 'primary' AND i.region <> '' AND a.status <> 'deleted' AND a.launcher = 'control-plane'`

// Untold lists primaries whose template nobody has read, newest first. One that
// EC2 does not know is not asked for after a day.
func (s *Primaries) Untold(ctx context.Context, limit int) ([]activities.Primary, error) {
	return s.primaries(ctx, primaryColumns+`
		AND coalesce(i.primary_since, i.installed_at) > now() - interval '1 day'
		AND NOT EXISTS (SELECT FROM launch_templates t WHERE t.agent_id = a.id AND t.instance_id = i.id)
		ORDER BY i.created_at DESC LIMIT $1`, limit)
}

// Missing lists the primaries of offline agents about which no termination notice
// came, those first that fell silent last. A disabled agent may stay away.
func (s *Primaries) Missing(ctx context.Context, limit int) ([]activities.Primary, error) {
	return s.primaries(ctx, primaryColumns+` AND a.status = 'offline' AND a.enabled
		AND NOT EXISTS (SELECT FROM notices n WHERE n.agent_id = a.id AND n.instance_id = i.id AND n.kind = 'termination-notice')
		ORDER BY a.last_heartbeat_at DESC NULLS LAST LIMIT $1`, limit)
}

func (s *Primaries) primaries(ctx context.Context, sql string, limit int) ([]activities.Primary, error) {
	rows, err := s.DB.Pool.Query(ctx, sql, limit)
	if err != nil {
		return nil, translate(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p activities.Primary, err error) {
		return p, row.Scan(&p.AgentID, &p.InstanceID, &p.Region, &p.Account.ClientID, &p.Account.RoleARN, &p.Account.ExternalID)
	})
	return out, translate(err)
}

// Take takes in that AWS has taken an instance without a notice: a notice through the
// door of the sweep, the same row as any other's.
func (s *Primaries) Take(ctx context.Context, clientID string, n interruption.Notice, judge roles.NoticeJudge) (*roles.Taken, error) {
	return (&Notices{DB: s.DB}).Take(ctx, clientID, n, judge)
}
