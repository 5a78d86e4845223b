-- +goose Up
-- What connects an instance with its client: a launch of ours that is on record, what EC2
-- said when it was adopted, or an agent's word alone. Only the first two are acted on.
ALTER TABLE instances
    ADD COLUMN proof text NOT NULL DEFAULT 'unproven'
        CONSTRAINT instances_proof CHECK (proof IN ('launched', 'adopted', 'unproven')),
    ADD COLUMN unproven_cause text NOT NULL DEFAULT 'waiting', -- adoption.Cause, while it is unproven
    ADD COLUMN unproven_reason text NOT NULL DEFAULT 'EC2 was not asked yet',
    ADD COLUMN unproven_repair text NOT NULL DEFAULT 'nothing has to be done',
    ADD COLUMN adopted_at timestamptz,
    ADD CONSTRAINT instances_adopted_has_time CHECK ((proof = 'adopted') = (adopted_at IS NOT NULL));
UPDATE instances i
SET proof = 'launched'
WHERE EXISTS (SELECT FROM launches l WHERE l.instance_id = i.id AND l.client_id = i.client_id AND l.state = 'launched');
CREATE INDEX instances_unproven_idx ON instances (client_id, unproven_cause) WHERE proof = 'unproven' AND role IN ('primary', 'replica');

-- Where a client's instances live: in the account of its role, or in ours where an
-- operator has said so. Clients that we have launched for in our account stay there.
ALTER TABLE clients
    ADD COLUMN account_id text NOT NULL DEFAULT ''
        CONSTRAINT clients_account_id CHECK (account_id = '' OR account_id ~ '^[0-9]{12}$'),
    ADD COLUMN own_account boolean NOT NULL DEFAULT false;
UPDATE clients
SET account_id = coalesce(substring(role_arn FROM '^arn:[a-z-]+:iam::([0-9]{12}):role/'), ''),
    own_account = role_arn = '' AND EXISTS (SELECT FROM launches l WHERE l.client_id = clients.id);
CREATE INDEX clients_account_id_idx ON clients (account_id) WHERE account_id <> '';

ALTER TABLE operations DROP CONSTRAINT operations_kind;
ALTER TABLE operations ADD CONSTRAINT operations_kind CHECK (kind IN ('switch', 'replica', 'termination', 'promotion', 'removal', 'adoption'));

-- What was read from an instance that nobody has proven is not launched again.
DELETE FROM launch_templates t
WHERE NOT EXISTS (SELECT FROM instances i WHERE i.id = t.instance_id AND i.proof <> 'unproven');

-- EC2 is asked about everything that plays a part on an agent's word.
INSERT INTO operations (id, kind, client_id, agent_id, phase, summary, instance_id)
SELECT 'adoption/' || i.id, 'adoption', i.client_id, i.agent_id, 'requested', 'adoption of ' || i.id, i.id
FROM instances i
JOIN agents a ON a.id = i.agent_id
WHERE i.proof = 'unproven'
  AND i.role IN ('primary', 'replica')
  AND a.status <> 'deleted'
ON CONFLICT (id) DO NOTHING;

-- +goose Down
DELETE FROM operations WHERE kind = 'adoption';
ALTER TABLE operations DROP CONSTRAINT operations_kind;
ALTER TABLE operations ADD CONSTRAINT operations_kind CHECK (kind IN ('switch', 'replica', 'termination', 'promotion', 'removal'));
DROP INDEX clients_account_id_idx;
ALTER TABLE clients DROP COLUMN own_account, DROP COLUMN account_id;
DROP INDEX instances_unproven_idx;
ALTER TABLE instances
    DROP CONSTRAINT instances_adopted_has_time, DROP COLUMN adopted_at, DROP COLUMN unproven_repair,
    DROP COLUMN unproven_reason, DROP COLUMN unproven_cause, DROP COLUMN proof;
