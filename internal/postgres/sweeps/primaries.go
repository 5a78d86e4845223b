package sweeps

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/pg"
)

// Primaries finds instances that agents live on and that want looking at.
type Primaries struct {
	postgres.Launches
}

var _ activities.PrimaryStore = (*Primaries)(nil)

// primaries lists some of the proven primaries that we launch for. Each client has its
// turn before any has a second one; among equals those come first that the sweep,
// $1, tried longest ago or never.
const primaries = `
SELECT agent_id, instance_id, region, client_id, role_arn, external_id, own_account, shown, known_for
FROM (
	SELECT a.id AS agent_id, i.id AS instance_id, i.region, c.id AS client_id, c.role_arn, c.external_id, c.own_account,
		t.tried_at,
		EXISTS (SELECT FROM launch_templates s WHERE s.agent_id = a.id AND s.instance_id = i.id) AS shown,
		extract(epoch FROM now() - i.created_at)::float8 AS known_for,
		row_number() OVER (PARTITION BY c.id ORDER BY t.tried_at NULLS FIRST, %s) AS turn
	FROM instances i
	JOIN agents a ON a.id = i.agent_id
	JOIN clients c ON c.id = a.client_id
	LEFT JOIN sweep_attempts t ON t.sweep = $1 AND t.subject = i.id
	WHERE i.role = 'primary'
		AND i.region <> ''
		AND i.proof <> 'unproven'
		AND a.status <> 'deleted'
		AND a.launcher = 'control-plane'
		AND %s) x
ORDER BY turn, tried_at NULLS FIRST
LIMIT $2`

// withoutTemplate are the primaries whose template was not read for a day, or never, the
// newest first among those that were never tried. One that could not be read for a day, perhaps because
// EC2 does not know it, is tried once in an hour from then on.
var withoutTemplate = fmt.Sprintf(primaries, `i.created_at DESC`, `
		NOT EXISTS (SELECT
			FROM launch_templates l
			WHERE l.agent_id = a.id AND l.instance_id = i.id AND l.read_at > now() - interval '1 day')
		AND (coalesce(i.primary_since, i.installed_at) > now() - interval '1 day'
			OR t.tried_at IS NULL OR t.tried_at < now() - interval '1 hour')`)

// missing are the primaries of offline agents about which no termination notice
// came, those first that fell silent last among those that were never tried. A
// disabled agent may stay away.
var missing = fmt.Sprintf(primaries, `a.last_heartbeat_at DESC NULLS LAST`, `
		a.status = 'offline' AND a.enabled
		AND NOT EXISTS (SELECT
			FROM notices n
			WHERE n.agent_id = a.id AND n.instance_id = i.id AND n.kind = 'termination-notice')`)

// ListWithoutTemplate lists primaries whose template was not read for a day.
func (s *Primaries) ListWithoutTemplate(ctx context.Context, limit int) ([]activities.Primary, error) {
	return s.primaries(ctx, withoutTemplate, activities.SweepTemplates, limit)
}

// Missing lists the primaries of offline agents about which no termination notice
// came.
func (s *Primaries) Missing(ctx context.Context, limit int) ([]activities.Primary, error) {
	return s.primaries(ctx, missing, activities.SweepMissing, limit)
}

// Tried stamps an instance as tried.
func (s *Primaries) Tried(ctx context.Context, sweep, instanceID string) error {
	return recordAttempt(ctx, s.DB, sweep, instanceID)
}

func (s *Primaries) primaries(ctx context.Context, sql, sweep string, limit int) ([]activities.Primary, error) {
	rows, err := s.DB.Pool.Query(ctx, sql, sweep, limit)
	if err != nil {
		return nil, pg.Translate(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p activities.Primary, err error) {
		var seconds float64
		err = row.Scan(&p.AgentID, &p.InstanceID, &p.Region, &p.Account.ClientID, &p.Account.RoleARN,
			&p.Account.ExternalID, &p.Account.Own, &p.Shown, &seconds)
		p.KnownFor = time.Duration(seconds * float64(time.Second))
		return p, err
	})
	return out, pg.Translate(err)
}

// Take records that AWS has ended an instance without a notice. It writes a notice with the
// sweep as its source, the same row as any other notice.
func (s *Primaries) Take(
	ctx context.Context,
	clientID string,
	n interruption.Notice,
	judge roles.NoticeJudge,
) (*roles.TakenNotice, error) {
	return (&postgres.Notices{DB: s.DB}).Take(ctx, clientID, n, judge)
}
