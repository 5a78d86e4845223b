package postgres

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/events"
	"spotkeeper/internal/intake"
	"spotkeeper/internal/postgres/pg"
)

// Intake is what the door for AWS's events keeps: notices, as every door does, and
// whose an instance is.
type Intake struct {
	Notices
	// OwnAccount says which AWS account the control plane itself is in: the account of
	// clients that named no role.
	OwnAccount func(ctx context.Context) (string, error)

	mu  sync.Mutex
	own string
}

var _ intake.Store = (*Intake)(nil)

// The account of a client is that of its role: the fifth part of its ARN.
const ownerOfInstance = `
SELECT i.client_id, i.agent_id, i.role, i.region, c.role_arn, c.external_id,
    CASE WHEN c.role_arn = '' THEN $3 ELSE split_part(c.role_arn, ':', 5) END <> $2
FROM instances i
JOIN clients c ON c.id = i.client_id
WHERE i.id = $1`

// A launch that has not ended has not written down its instance.
const launchesInAccount = `
SELECT EXISTS (
    SELECT
    FROM launches l
    JOIN clients c ON c.id = l.client_id
    WHERE l.created_at > clock_timestamp() - interval '10 minutes'
      AND l.state = 'requested'
      AND CASE WHEN c.role_arn = '' THEN $2 ELSE split_part(c.role_arn, ':', 5) END = $1)`

// Owner finds whose an instance is. It reads only.
func (s *Intake) Owner(ctx context.Context, account, instanceID string) (intake.Owner, error) {
	own, err := s.ownAccount(ctx)
	if err != nil {
		return intake.Owner{}, err
	}
	o := intake.Owner{InstanceID: instanceID}
	b := &pgx.Batch{}
	b.Queue(ownerOfInstance, instanceID, account, own).QueryRow(func(row pgx.Row) error {
		err := row.Scan(&o.ClientID, &o.AgentID, &o.Role, &o.Region, &o.Account.RoleARN, &o.Account.ExternalID,
			&o.Foreign)
		if pg.IsNoRows(err) {
			return nil
		}
		o.Known, o.Account.ClientID = err == nil, o.ClientID
		return err
	})
	b.Queue(launchesInAccount, account, own).QueryRow(func(row pgx.Row) error { return row.Scan(&o.Launching) })
	return o, pg.Translate(s.DB.Pool.SendBatch(ctx, b).Close())
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

// RecordScheduled notifies the client of what AWS has scheduled for its instance. AWS
// sends an event several times, with one id: its key makes them one notification.
func (s *Intake) RecordScheduled(ctx context.Context, o intake.Owner, e events.Event) error {
	_, err := s.DB.Pool.Exec(ctx, `
WITH told AS (
    INSERT INTO notifications (client_id, message, severity, dedup_key)
    SELECT a.client_id,
        'AWS has scheduled ' || $4 || ' for ' || $3 || ' of ' || a.logical_agent_id
            || coalesce(' at ' || to_char($5::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'), '')
            || ': switch the agent to another instance before',
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
FROM told`, o.ClientID, o.AgentID, o.InstanceID, e.Reason, timeOrNull(e.Deadline), e.ID)
	return pg.Translate(err)
}
