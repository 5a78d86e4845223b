package awsevents

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/events"
	"spotkeeper/internal/intake"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/pg"
)

// Intake stores what arrives as AWS's events: notices, like every other source, and the
// owner of an instance.
type Intake struct {
	postgres.Notices
	// OwnAccount says which AWS account the control plane itself is in: the account of
	// clients that named no role.
	OwnAccount func(ctx context.Context) (string, error)

	mu  sync.Mutex
	own string
}

var _ intake.Store = (*Intake)(nil)

// The account of a client is that of its role: the fifth part of its ARN. A launch that has
// not ended has not written down its instance.
const ownersOfInstances = `
SELECT i.id IS NOT NULL,
    coalesce(i.client_id, ''),
    coalesce(i.agent_id, ''),
    coalesce(i.role, ''),
    coalesce(i.region, ''),
    coalesce(c.role_arn, ''),
    coalesce(c.external_id, ''),
    coalesce(c.own_account, false),
    coalesce(CASE WHEN c.role_arn = '' THEN $3 ELSE split_part(c.role_arn, ':', 5) END <> e.account, false),
    CASE WHEN i.id IS NULL THEN EXISTS (
        SELECT
        FROM launches l
        JOIN clients k ON k.id = l.client_id
        WHERE l.created_at > clock_timestamp() - interval '10 minutes'
          AND l.state = 'requested'
          AND CASE WHEN k.role_arn = '' THEN $3 ELSE split_part(k.role_arn, ':', 5) END = e.account)
    ELSE false END
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS e (instance_id, account, n)
LEFT JOIN instances i ON i.id = e.instance_id
LEFT JOIN clients c ON c.id = i.client_id
ORDER BY e.n`

// Owners finds whose the instances of events are, in the order of the events. It reads only.
func (s *Intake) Owners(ctx context.Context, of []events.Event) ([]intake.Owner, error) {
	own, err := s.ownAccount(ctx)
	if err != nil {
		return nil, err
	}
	ids, accounts := make([]string, len(of)), make([]string, len(of))
	for n, e := range of {
		ids[n], accounts[n] = e.InstanceID, e.Account
	}
	rows, err := s.DB.Pool.Query(ctx, ownersOfInstances, ids, accounts, own)
	if err != nil {
		return nil, pg.Translate(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (o intake.Owner, err error) {
		err = row.Scan(&o.Known, &o.ClientID, &o.AgentID, &o.Role, &o.Region, &o.Account.RoleARN,
			&o.Account.ExternalID, &o.Account.Own, &o.Foreign, &o.Launching)
		o.Account.ClientID = o.ClientID
		return o, err
	})
	if err != nil {
		return nil, pg.Translate(err)
	}
	for n := range out {
		out[n].InstanceID = ids[n]
	}
	return out, nil
}

// ownAccount is asked for once; a question that failed is asked again.
func (s *Intake) ownAccount(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.own == "" {
		own, err := s.OwnAccount(ctx)
		if err != nil {
			return "", err
		}
		s.own = own
	}
	return s.own, nil
}

// RecordLate keeps what came after its deadline about an instance that runs, as evidence.
// Again changes nothing.
func (s *Intake) RecordLate(ctx context.Context, o intake.Owner, e events.Event) error {
	_, err := s.DB.Pool.Exec(ctx, `
INSERT INTO events (client_id, agent_id, type, severity, actor, message, metadata, dedup_key)
VALUES ($1, $2, 'late_notice', 'info', 'aws',
    'AWS''s notice about ' || $3::text || ' came after its deadline, and the instance lives',
    jsonb_build_object('instance_id', $3::text, 'event_id', $4::text, 'kind', $5::text, 'action', $6::text,
        'at', $7::timestamptz, 'deadline', $8::timestamptz),
    'late:' || $3::text || '/' || $4::text)
ON CONFLICT (dedup_key) DO NOTHING`, o.ClientID, o.AgentID, o.InstanceID, e.ID, string(e.Kind), e.Action,
		pg.TimeOrNull(e.At), pg.TimeOrNull(e.Deadline))
	return pg.Translate(err)
}

// RecordScheduled notifies the client of what AWS has scheduled for its instance, and plans
// the agent's move when the instance is its primary: ahead of AWS's time, or at once when that
// is nearer. Zero plans none. AWS sends an event several times, with one id: its key makes
// them one notification and one move, by the time that was said last.
func (s *Intake) RecordScheduled(ctx context.Context, o intake.Owner, e events.Event, ahead time.Duration) error {
	_, err := s.DB.Pool.Exec(ctx, `
WITH planned AS (
    INSERT INTO planned_moves AS m (event_id, instance_id, client_id, agent_id, reason, due_at, try_at)
    SELECT left($6, 256), i.id, i.client_id, i.agent_id, left($4, 256), $5::timestamptz,
        greatest($5::timestamptz - $7::float8 * interval '1 second', clock_timestamp())
    FROM instances i
    WHERE i.id = $3
      AND i.agent_id = $2
      AND i.role = 'primary'
      AND $5::timestamptz > clock_timestamp()
      AND $7::float8 > 0
    ON CONFLICT ON CONSTRAINT planned_moves_once DO UPDATE
    SET due_at = excluded.due_at,
        try_at = excluded.try_at
    WHERE m.result = ''
    RETURNING event_id),
told AS (
    INSERT INTO notifications (client_id, message, severity, dedup_key)
    SELECT a.client_id,
        'AWS has scheduled ' || $4 || ' for ' || $3 || ' of ' || a.logical_agent_id
            || coalesce(' at ' || to_char($5::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'), '')
            || CASE WHEN EXISTS (SELECT FROM planned)
                THEN ': the agent is moved to another instance before'
                ELSE ': switch the agent to another instance before' END,
        'warning',
        'scheduled:' || $6 || '/' || $3
    FROM agents a
    WHERE a.id = $2
      AND a.client_id = $1
    ON CONFLICT (dedup_key) DO NOTHING
    RETURNING client_id)
INSERT INTO events (client_id, agent_id, type, severity, actor, message, metadata)
SELECT client_id, $2, 'scheduled_change', 'warning', 'aws',
    'AWS has scheduled ' || $4 || ' for ' || $3,
    jsonb_build_object('instance_id', $3::text, 'at', $5::timestamptz, 'event_id', $6::text)
FROM told`, o.ClientID, o.AgentID, o.InstanceID, e.Reason, pg.TimeOrNull(e.Deadline), e.ID, ahead.Seconds())
	return pg.Translate(err)
}
