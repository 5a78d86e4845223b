package awsevents

import (
	"context"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/events"
	"spotkeeper/internal/intake"
	"spotkeeper/internal/postgres/pg"
)

// LifecycleActions are actions of Auto Scaling groups that wait for an agent's move.
type LifecycleActions struct{ DB *pg.DB }

// RecordLifecycle keeps an action that waits. The same action again changes nothing.
func (s *Intake) RecordLifecycle(ctx context.Context, o intake.Owner, e events.Event) error {
	_, err := s.DB.Pool.Exec(ctx, `
INSERT INTO lifecycle_actions (token, instance_id, group_name, hook_name)
VALUES ($1, $2, $3, $4)
ON CONFLICT (token) DO NOTHING`, e.Hook.Token, o.InstanceID, e.Hook.Group, e.Hook.Name)
	return pg.Translate(err)
}

// A group is asked to go on for a proven instance only. An action is settled when the
// instance no longer has a role, or its notice is decided.
const claimLifecycle = `
WITH due AS (
    SELECT l.token
    FROM lifecycle_actions l
    JOIN instances i ON i.id = l.instance_id
    WHERE l.try_at <= clock_timestamp()
      AND i.proof <> 'unproven'
    ORDER BY l.try_at
    LIMIT $1
    FOR UPDATE OF l SKIP LOCKED),
claimed AS (
    UPDATE lifecycle_actions l
    SET try_at = clock_timestamp() + interval '15 seconds'
    FROM due d
    WHERE l.token = d.token
    RETURNING l.*)
SELECT c.token,
    c.group_name,
    c.hook_name,
    i.id,
    i.agent_id,
    i.region,
    i.client_id,
    k.role_arn,
    k.external_id,
    k.own_account,
    c.created_at,
    i.role NOT IN ('primary', 'replica') OR coalesce(n.result, '') <> '',
    coalesce(n.result, '') = 'lost'
FROM claimed c
JOIN instances i ON i.id = c.instance_id
JOIN clients k ON k.id = i.client_id
LEFT JOIN notices n ON n.agent_id = i.agent_id
    AND n.instance_id = i.id
    AND n.kind = 'termination-notice'`

// Claim gives actions that are due, each to one caller. A caller that dies leaves its
// actions for a quarter of a minute later.
func (s *LifecycleActions) Claim(ctx context.Context, limit int) ([]intake.LifecycleAction, error) {
	rows, err := s.DB.Pool.Query(ctx, claimLifecycle, limit)
	if err != nil {
		return nil, pg.Translate(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (a intake.LifecycleAction, err error) {
		err = row.Scan(&a.Token, &a.Group, &a.Name, &a.InstanceID, &a.AgentID, &a.Region, &a.Account.ClientID,
			&a.Account.RoleARN, &a.Account.ExternalID, &a.Account.Own, &a.Since, &a.Settled, &a.Lost)
		return a, err
	})
	return out, pg.Translate(err)
}

// Close ends an action: continue, abandon, over or not_ours.
func (s *LifecycleActions) Close(ctx context.Context, token, result string) error {
	_, err := s.DB.Pool.Exec(ctx, `
UPDATE lifecycle_actions
SET result = $2,
    try_at = NULL
WHERE token = $1
  AND result = ''`, token, result)
	return pg.Translate(err)
}
