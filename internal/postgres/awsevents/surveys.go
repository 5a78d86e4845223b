package awsevents

import (
	"context"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/intake"
	"spotkeeper/internal/postgres/pg"
)

// surveyed are the instances i of agents a and clients c that EC2 can be asked about, and
// about whose end nothing has come yet.
const surveyed = `
FROM instances i
JOIN agents a ON a.id = i.agent_id
JOIN clients c ON c.id = i.client_id
WHERE i.role IN ('primary', 'replica')
  AND i.region <> ''
  AND a.status <> 'deleted'
  AND a.launcher = 'control-plane'
  AND NOT EXISTS (
    SELECT
    FROM notices n
    WHERE n.agent_id = i.agent_id
      AND n.instance_id = i.id
      AND n.kind = 'termination-notice')`

const placeOfClient = `CASE WHEN c.role_arn = '' THEN '' ELSE c.id END`

// claimSurveys gives each place to one caller: the row's time decides between two. $2 is
// the time between two surveys, in seconds.
const claimSurveys = `
WITH due AS (
    SELECT p.client_id, p.region
    FROM (SELECT DISTINCT ` + placeOfClient + ` AS client_id, i.region` + surveyed + `) p
    LEFT JOIN surveys s ON s.client_id = p.client_id AND s.region = p.region
    WHERE s.surveyed_at IS NULL OR s.surveyed_at < clock_timestamp() - make_interval(secs => $2)
    ORDER BY s.surveyed_at NULLS FIRST
    LIMIT $1)
INSERT INTO surveys AS s (client_id, region, surveyed_at)
SELECT client_id, region, clock_timestamp()
FROM due
ON CONFLICT ON CONSTRAINT surveys_once DO UPDATE
SET surveyed_at = excluded.surveyed_at
WHERE s.surveyed_at < clock_timestamp() - make_interval(secs => $2)
RETURNING client_id, region`

// ClaimSurveys gives places whose instances are due to be asked for, each to one caller. A
// caller that dies leaves its places for the next round.
func (s *Intake) ClaimSurveys(ctx context.Context, limit int, every float64) ([]intake.Place, error) {
	rows, err := s.DB.Pool.Query(ctx, claimSurveys, limit, every)
	if err != nil {
		return nil, pg.Translate(err)
	}
	out, err := pgx.CollectRows(
		rows, func(row pgx.CollectableRow) (p intake.Place, err error) { return p, row.Scan(&p.ClientID, &p.Region) })
	return out, pg.Translate(err)
}

// InstancesAt lists the instances of a place.
func (s *Intake) InstancesAt(ctx context.Context, p intake.Place) ([]intake.Owner, error) {
	rows, err := s.DB.Pool.Query(ctx, `
SELECT i.id, i.client_id, i.agent_id, i.role, i.region, c.role_arn, c.external_id, c.own_account`+surveyed+`
  AND i.region = $2
  AND `+placeOfClient+` = $1
ORDER BY i.id`, p.ClientID, p.Region)
	if err != nil {
		return nil, pg.Translate(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (o intake.Owner, err error) {
		err = row.Scan(&o.InstanceID, &o.ClientID, &o.AgentID, &o.Role, &o.Region, &o.Account.RoleARN,
			&o.Account.ExternalID, &o.Account.Own)
		o.Known, o.Account.ClientID = err == nil, o.ClientID
		return o, err
	})
	return out, pg.Translate(err)
}
