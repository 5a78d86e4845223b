package agents

import (
	"cmp"
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/adoption"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/postgres/pg"
)

// Adoptions stores what connects instances with their clients. An instance that an agent
// has named is unproven, and its adoption is an open row, until EC2 has confirmed it.
type Adoptions struct{ DB *pg.DB }

var _ activities.AdoptionStore = (*Adoptions)(nil)

// freshFor is how long after it was named an instance may be unknown to EC2's answers. An
// agent runs on it, so it was launched a while before.
const freshFor = "30 seconds"

// Claim reads what an instance and its client say about each other, for adoption.Claim.
// Over means that there is nothing to adopt: the instance is proven, plays no part any
// more, or is gone from the books.
func (s *Adoptions) Claim(ctx context.Context, instanceID string) (*activities.AdoptionClaim, error) {
	var out activities.AdoptionClaim
	c := &out.Claim
	err := s.DB.Pool.QueryRow(ctx, `
SELECT i.agent_id, i.region, c.id, c.role_arn, c.external_id, c.own_account, c.account_id, c.role_arn <> '',
    c.own_account AND c.role_arn = '',
    c.account_id <> '' AND EXISTS (SELECT FROM clients o WHERE o.account_id = c.account_id AND o.id <> c.id),
    i.installed_at > clock_timestamp() - interval '`+freshFor+`',
    EXISTS (SELECT FROM join_documents d WHERE d.instance_id = i.id AND d.client_id = c.id),
    i.proof <> 'unproven' OR i.role NOT IN ('primary', 'replica') OR a.status = 'deleted',
    i.proof
FROM instances i
JOIN agents a ON a.id = i.agent_id
JOIN clients c ON c.id = i.client_id
WHERE i.id = $1`, instanceID).
		Scan(&out.AgentID, &c.Region, &out.Account.ClientID, &out.Account.RoleARN, &out.Account.ExternalID,
			&out.Account.Own, &c.AccountID, &c.HasRole,
			&c.OwnAccount, &c.Shared, &c.Fresh, &c.Document, &out.Over, &out.Proof)
	if pg.IsNoRows(err) {
		return &activities.AdoptionClaim{Over: true}, nil
	}
	c.InstanceID, c.ClientID = instanceID, out.Account.ClientID
	return &out, pg.Translate(err)
}

// RecordAdopted makes an instance that EC2 has confirmed the client's: EC2's facts about
// its place replace the agent's, and the agent's roles are judged again. A second call
// changes nothing.
func (s *Adoptions) RecordAdopted(ctx context.Context, agentID string, i activities.CloudInstance) error {
	b := &pgx.Batch{}
	b.Queue(`
WITH adopted AS (
    UPDATE instances
    SET proof = 'adopted',
        adopted_at = clock_timestamp(),
        instance_type = coalesce(nullif($3, ''), instance_type),
        az = coalesce(nullif($4, ''), az),
        pool_id = coalesce(nullif($5, ''), pool_id),
        mode = $6,
        ami_id = coalesce(nullif($7, ''), ami_id)
    WHERE id = $1
      AND agent_id = $2
      AND proof = 'unproven'
    RETURNING id, client_id, agent_id, pool_id, instance_type, region, az),
pool AS (
    INSERT INTO pools (id, instance_type, region, az)
    SELECT pool_id, instance_type, region, az
    FROM adopted
    WHERE $5 <> ''
    ON CONFLICT DO NOTHING)
INSERT INTO events (client_id, agent_id, type, message, metadata)
SELECT client_id, agent_id, 'instance_adopted',
    id || ' was found at EC2 to be the client''s and is looked after from now on',
    jsonb_build_object('instance_id', id, 'pool_id', pool_id, 'account_id', $8::text)
FROM adopted`, i.ID, agentID, i.InstanceType(), i.Zone(), i.PoolID, cmp.Or(string(i.Mode), string(agent.ModeUnknown)),
		i.ImageID, i.AccountID)
	pg.QueueReview(b, agentID)
	return pg.Translate(s.DB.Pool.SendBatch(ctx, b).Close())
}

// RecordUnproven keeps why an instance is unproven, and notifies the client once for each
// cause, with an event. An instance that was proven meanwhile stays proven.
func (s *Adoptions) RecordUnproven(ctx context.Context, agentID, instanceID string, v adoption.Verdict) error {
	_, err := s.DB.Pool.Exec(ctx, `
WITH kept AS (
    UPDATE instances
    SET unproven_cause = $3,
        unproven_reason = $4,
        unproven_repair = $5
    WHERE id = $1
      AND agent_id = $2
      AND proof = 'unproven'
    RETURNING id, client_id, agent_id, unproven_cause),
named AS (
    SELECT k.*,
        a.logical_agent_id || ' is not looked after: ' || $4::text || '. To repair it, ' || $5::text || '.' AS message,
        'unproven:' || k.agent_id || '/' || k.id || '/' || k.unproven_cause AS key
    FROM kept k
    JOIN agents a ON a.id = k.agent_id
    WHERE k.unproven_cause <> 'waiting'),
event AS (
    INSERT INTO events (client_id, agent_id, type, severity, message, metadata, dedup_key)
    SELECT client_id, agent_id, 'instance_unproven', 'warning', message,
        jsonb_build_object('instance_id', id, 'cause', unproven_cause, 'reason', $4::text, 'repair', $5::text), key
    FROM named
    ON CONFLICT (dedup_key) DO NOTHING)
INSERT INTO notifications (client_id, message, severity, dedup_key)
SELECT client_id, message, 'warning', key
FROM named
ON CONFLICT (dedup_key) DO NOTHING`, instanceID, agentID, v.Cause, v.Reason, v.Repair)
	return pg.Translate(err)
}

// AdoptionState is how an instance stands to its client.
type AdoptionState struct {
	Proof       adoption.Proof
	Cause       adoption.Cause // while it is unproven, as what follows
	Reason      string
	Repair      string
	AdoptedAt   *time.Time
	OperationID string // its adoption, when it is open
}

// AskAgain makes the adoption of a tenant's instance due now, and returns its state. An
// empty clientID is any tenant. A proven instance is returned unchanged. Fails with
// agent.instance_of_another_tenant.
func (s *Adoptions) AskAgain(ctx context.Context, clientID, instanceID, by string) (*AdoptionState, error) {
	var out AdoptionState
	b := &pgx.Batch{}
	b.Queue(`
INSERT INTO events (client_id, agent_id, type, actor, message, metadata)
SELECT i.client_id, i.agent_id, 'adoption_requested', $3, 'EC2 is asked again whose ' || i.id || ' is',
    jsonb_build_object('instance_id', i.id, 'before',
    jsonb_build_object('cause', i.unproven_cause, 'adoption', o.state),
        'after', jsonb_build_object('cause', i.unproven_cause, 'adoption', 'running'))
FROM instances i
LEFT JOIN operations o ON o.id = 'adoption/' || i.id
WHERE i.id = $1
  AND ($2 = '' OR i.client_id = $2)
  AND i.proof = 'unproven'`, instanceID, clientID, by)
	b.Queue(pg.OpenAdoptions+`
  AND i.id = $1
  AND ($2 = '' OR i.client_id = $2)`+pg.AskAdoptionNow, instanceID, clientID)
	b.Queue(`
SELECT i.proof, i.unproven_cause, i.unproven_reason, i.unproven_repair, i.adopted_at, coalesce(o.id, '')
FROM instances i
LEFT JOIN operations o ON o.id = 'adoption/' || i.id AND o.state = 'running'
WHERE i.id = $1
  AND ($2 = '' OR i.client_id = $2)`, instanceID, clientID).QueryRow(func(row pgx.Row) error {
		err := row.Scan(&out.Proof, &out.Cause, &out.Reason, &out.Repair, &out.AdoptedAt, &out.OperationID)
		if pg.IsNoRows(err) {
			return agent.InstanceOfOtherTenant.New("Instance not found")
		}
		return err
	})
	if err := s.DB.Pool.SendBatch(ctx, b).Close(); err != nil {
		return nil, pg.Translate(err)
	}
	return &out, nil
}
