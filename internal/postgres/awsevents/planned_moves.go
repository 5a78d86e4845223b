package awsevents

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/approval"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/internal/intake"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/pg"
)

// PlannedMoves are the moves before changes that AWS has scheduled.
type PlannedMoves struct{ DB *pg.DB }

// plannedAgain is when a move that was refused is tried again, and when one is whose
// process has died.
const plannedAgain = `interval '5 minutes'`

// claimPlanned gives moves that are due, each to one caller, with where they go: a spot
// instance moves to the cheapest other pool of its type in its region that is not blocked for
// its client, and to on-demand when there is none; an on-demand one is launched anew in its pool. live says whether the
// instance is the agent's primary still.
const claimPlanned = `
WITH due AS (
    SELECT event_id, instance_id
    FROM planned_moves
    WHERE try_at <= clock_timestamp()
    ORDER BY due_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED),
claimed AS (
    UPDATE planned_moves m
    SET try_at = clock_timestamp() + ` + plannedAgain + `
    FROM due d
    WHERE m.event_id = d.event_id
      AND m.instance_id = d.instance_id
    RETURNING m.*)
SELECT c.event_id,
    c.instance_id,
    c.agent_id,
    c.reason,
    c.due_at,
    c.due_at <= clock_timestamp(),
    i.role = 'primary',
    CASE WHEN i.mode = 'spot' AND other.id IS NOT NULL THEN 'spot' ELSE 'ondemand' END,
    CASE WHEN i.mode = 'spot' THEN coalesce(other.id, i.pool_id) ELSE i.pool_id END
FROM claimed c
JOIN instances i ON i.id = c.instance_id
LEFT JOIN LATERAL (
    SELECT p.id
    FROM pools p
    LEFT JOIN pool_prices x ON x.pool_id = p.id
    WHERE p.region = i.region
      AND p.instance_type = i.instance_type
      AND p.id <> i.pool_id
      AND NOT EXISTS (
        SELECT
        FROM pool_blocks b
        WHERE b.pool_id = p.id
          AND b.subject IN ('', i.client_id)
          AND b.until > now())
    ORDER BY x.price NULLS LAST, p.id
    LIMIT 1) other ON true`

// Claim returns moves that are due, each to one caller. The moves of a caller that dies are
// due again after five minutes.
func (s *PlannedMoves) Claim(ctx context.Context, limit int) ([]intake.PlannedMove, error) {
	rows, err := s.DB.Pool.Query(ctx, claimPlanned, limit)
	if err != nil {
		return nil, pg.Translate(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (m intake.PlannedMove, err error) {
		return m, row.Scan(&m.EventID, &m.InstanceID, &m.AgentID, &m.Reason, &m.Due, &m.Over, &m.Lives, &m.Mode,
			&m.PoolID)
	})
	return out, pg.Translate(err)
}

// Order orders the switch of a move. The same move again is the same command.
func (s *PlannedMoves) Order(ctx context.Context, m intake.PlannedMove, voluntary bool) (commandID string, err error) {
	c, err := (&postgres.Commands{DB: s.DB}).Order(ctx, switching.SwitchRequest{
		ID:        uuid.NewSHA1(uuid.NameSpaceURL, []byte("planned-move:"+m.EventID+"/"+m.InstanceID)).String(),
		AgentID:   m.AgentID,
		Target:    switching.Target{Mode: agent.Mode(m.Mode), PoolID: m.PoolID},
		Priority:  switching.PriorityScheduled,
		By:        "aws",
		Reason:    "AWS has scheduled " + m.Reason + " at " + m.Due.UTC().Format(time.RFC3339),
		Notify:    "AWS has scheduled " + m.Reason + " for " + m.InstanceID + ": the agent moves before",
		Voluntary: voluntary,
		Kind:      approval.Maintenance,
	})
	if err != nil {
		return "", err
	}
	return c.ID, nil
}

// Close ends a move: ordered, gone or missed.
func (s *PlannedMoves) Close(ctx context.Context, m intake.PlannedMove, result, commandID string) error {
	_, err := s.DB.Pool.Exec(ctx, `
UPDATE planned_moves
SET result = $3,
    command_id = $4,
    refusal = '',
    try_at = NULL
WHERE event_id = $1
  AND instance_id = $2
  AND result = ''`, m.EventID, m.InstanceID, result, commandID)
	return pg.Translate(err)
}

// RecordRefusal keeps why a move was refused; it is tried again.
func (s *PlannedMoves) RecordRefusal(ctx context.Context, m intake.PlannedMove, why error) error {
	sentence := string(fault.CodeOf(why))
	if f, ok := errors.AsType[*fault.Error](why); ok {
		sentence += ": " + f.Message
	}
	_, err := s.DB.Pool.Exec(ctx, `
UPDATE planned_moves
SET refusal = $3
WHERE event_id = $1
  AND instance_id = $2
  AND result = ''`, m.EventID, m.InstanceID, sentence)
	return pg.Translate(err)
}
