package agents

import (
	"context"

	"github.com/jackc/pgx/v5"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/postgres/pg"
)

// mostRivals is how many clients are asked about one instance.
const mostRivals = 5

// claimInstance records that a client has registered an instance that another client only
// claims, and has EC2 asked now. A proven instance cannot be contested. A repetition within
// half a minute changes nothing.
const claimInstance = `
WITH claim AS (
    INSERT INTO instance_claims AS c (instance_id, client_id, region)
    SELECT i.id, $2, $3
    FROM instances i
    WHERE i.id = $1
      AND i.client_id <> $2
      AND i.proof = 'unproven'
    ON CONFLICT ON CONSTRAINT instance_claims_once DO UPDATE
    SET region = excluded.region,
        claimed_at = clock_timestamp()
    WHERE c.claimed_at < clock_timestamp() - interval '30 seconds'
    RETURNING instance_id)
INSERT INTO operations AS o (id, kind, client_id, agent_id, phase, summary, instance_id, tend_at)
SELECT 'adoption/' || i.id, 'adoption', i.client_id, i.agent_id, 'requested', 'adoption of ' || i.id, i.id,
    clock_timestamp()
FROM claim
JOIN instances i ON i.id = claim.instance_id
WHERE i.agent_id IS NOT NULL` + pg.AskAdoptionNow

func (s *Agents) claimInstance(ctx context.Context, r agent.Registration) error {
	_, err := s.DB.Pool.Exec(ctx, claimInstance, r.InstanceID, r.ClientID, r.Region)
	return pg.Translate(err)
}

// Rivals lists the claims of other clients on an instance that is unproven, oldest first.
func (s *Adoptions) Rivals(ctx context.Context, instanceID string) ([]activities.AdoptionClaim, error) {
	r, err := s.DB.Pool.Query(ctx, `
SELECT x.region, c.id, c.role_arn, c.external_id, c.own_account, c.account_id, c.role_arn <> '',
    c.own_account AND c.role_arn = '',
    c.account_id <> '' AND EXISTS (SELECT FROM clients o WHERE o.account_id = c.account_id AND o.id <> c.id)
FROM instance_claims x
JOIN instances i ON i.id = x.instance_id AND i.client_id <> x.client_id AND i.proof = 'unproven'
JOIN clients c ON c.id = x.client_id
WHERE x.instance_id = $1
ORDER BY x.claimed_at, c.id
LIMIT $2`, instanceID, mostRivals)
	if err != nil {
		return nil, pg.Translate(err)
	}
	out, err := pgx.CollectRows(r, func(row pgx.CollectableRow) (out activities.AdoptionClaim, err error) {
		c := &out.Claim
		err = row.Scan(&c.Region, &out.Account.ClientID, &out.Account.RoleARN, &out.Account.ExternalID, &out.Account.Own,
			&c.AccountID, &c.HasRole, &c.OwnAccount, &c.Shared)
		c.InstanceID, c.ClientID = instanceID, out.Account.ClientID
		return out, err
	})
	return out, pg.Translate(err)
}

// ReleaseTo takes an unproven instance from the client that named it, because EC2 shows it
// as another client's: that one's next registration begins with it. The agent that had
// named it has lost it, and its client is notified. A second call changes nothing.
func (s *Adoptions) ReleaseTo(ctx context.Context, instanceID, clientID string) error {
	return s.DB.InTx(ctx, func(tx pgx.Tx) error {
		var agentID *string
		err := tx.QueryRow(ctx, `
SELECT agent_id FROM instances WHERE id = $1 AND client_id <> $2 AND proof = 'unproven'`, instanceID, clientID).
			Scan(&agentID)
		if pg.IsNoRows(err) {
			return nil
		}
		if err != nil {
			return err
		}
		b := &pgx.Batch{}
		if agentID != nil {
			b.Queue(pg.LockAgent, *agentID)
		}
		b.Queue(releaseInstance, instanceID, clientID)
		b.Queue(`DELETE FROM instance_claims WHERE instance_id = $1`, instanceID)
		if agentID != nil {
			pg.QueueNewsOfAll(b, *agentID)
			pg.QueueReview(b, *agentID)
		}
		return tx.SendBatch(ctx, b).Close()
	})
}

const releaseInstance = `
WITH held AS (
    SELECT id, client_id, agent_id
    FROM instances
    WHERE id = $1
      AND client_id <> $2
      AND proof = 'unproven'
    FOR UPDATE),
moved AS (
    UPDATE instances i
    SET client_id = $2,
        agent_id = NULL,
        role = 'retired',
        terminate_by = 'nobody',
        retiring_since = clock_timestamp(),
        primary_since = NULL,
        unproven_cause = DEFAULT,
        unproven_reason = DEFAULT,
        unproven_repair = DEFAULT
    FROM held h
    WHERE i.id = h.id),
ended AS (
    UPDATE replicas r
    SET state = 'failed',
        error_code = 'instance.not_ours',
        error = 'EC2 shows ' || h.id || ' as another client''s',
        ended_at = clock_timestamp()
    FROM held h
    WHERE r.instance_id = h.id
      AND r.state IN ('requested', 'launching', 'running', 'ready')),
event AS (
    INSERT INTO events (client_id, agent_id, type, severity, message, metadata)
    SELECT client_id, agent_id, 'instance_released', 'warning',
        id || ' was named by this agent, and EC2 shows it as another client''s',
        jsonb_build_object('instance_id', id)
    FROM held)
INSERT INTO notifications (client_id, message, severity, dedup_key)
SELECT client_id, id || ' is not yours: EC2 shows it as another client''s. The agent that named it has lost it',
    'warning', 'released:' || client_id || '/' || id
FROM held
ON CONFLICT (dedup_key) DO NOTHING`
