-- +goose Up
-- An open row has a workflow. An operation is open until its workflow has written
-- its end; tend_at is when the sweep looks for its workflow next.
ALTER TABLE operations ADD COLUMN tend_at timestamptz DEFAULT clock_timestamp() + interval '5 seconds';
UPDATE operations SET tend_at = NULL WHERE state <> 'running';
ALTER TABLE operations ADD CONSTRAINT operations_open_is_tended CHECK ((state = 'running') = (tend_at IS NOT NULL));
CREATE INDEX operations_tend_idx ON operations (tend_at) WHERE tend_at IS NOT NULL;

ALTER TABLE model_rollouts ADD COLUMN tend_at timestamptz DEFAULT clock_timestamp() + interval '5 seconds';

-- review_at is when a Guardian has to judge an agent's roles next; null: they are as
-- they should be. review_seq tells a Guardian that has judged them whether they
-- changed meanwhile.
ALTER TABLE agents DROP COLUMN woken_at;
ALTER TABLE agents ADD COLUMN review_at timestamptz;
ALTER TABLE agents ADD COLUMN review_seq bigint NOT NULL DEFAULT 0;
CREATE INDEX agents_review_idx ON agents (review_at) WHERE review_at IS NOT NULL;

ALTER TABLE notices ADD COLUMN arrived_at timestamptz;                      -- by the clock of the process that took it in
ALTER TABLE notices ADD COLUMN wanted_replica text NOT NULL DEFAULT '';     -- the successor that the agent asked for

-- A promotion that a person asked for, whether it waits for its replica or not.
CREATE TABLE promotions (
    replica_id   text PRIMARY KEY CONSTRAINT promotions_replica_fk REFERENCES replicas ON DELETE CASCADE,
    client_id    text NOT NULL CONSTRAINT promotions_client_fk REFERENCES clients ON DELETE CASCADE,
    agent_id     text NOT NULL CONSTRAINT promotions_agent_fk REFERENCES agents ON DELETE CASCADE,
    demote       boolean NOT NULL,     -- the old primary becomes the standby
    requested_by text NOT NULL DEFAULT '',
    wait_until   timestamptz NOT NULL, -- for the replica to be ready
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX promotions_agent_idx ON promotions (agent_id);

-- What is open and has no row of an operation gets one: the sweep starts its workflow.
INSERT INTO operations (id, kind, client_id, agent_id, replica_id, instance_id, summary)
SELECT 'replica/' || r.id, 'replica', r.client_id, r.agent_id, r.id, coalesce(r.instance_id, ''), r.kind || ' replica for ' || r.made_for
FROM replicas r WHERE r.state IN ('requested', 'launching', 'running', 'ready', 'retiring')
ON CONFLICT (id) DO NOTHING;
INSERT INTO operations (id, kind, client_id, agent_id, instance_id, summary, cause)
SELECT 'switch/' || c.id, 'switch', c.client_id, c.agent_id, c.instance_id, 'switch of ' || c.agent_id, c.reason
FROM commands c WHERE c.status = 'pending' AND c.command_type = 'switch'
ON CONFLICT (id) DO NOTHING;
INSERT INTO operations (id, kind, client_id, agent_id, instance_id, summary, deadline)
SELECT 'termination/' || n.agent_id || '/' || n.instance_id, 'termination', n.client_id, n.agent_id, n.instance_id, 'AWS takes ' || n.instance_id, n.deadline
FROM notices n WHERE n.kind = 'termination-notice' AND n.result IN ('', 'lost')
ON CONFLICT (id) DO NOTHING;
UPDATE agents SET review_at = clock_timestamp() WHERE status <> 'deleted' AND (keeping = 'manual'
    OR EXISTS (SELECT FROM notices n WHERE n.agent_id = agents.id AND n.result IN ('', 'lost')));

-- +goose Down
DROP TABLE promotions;
ALTER TABLE notices DROP COLUMN wanted_replica, DROP COLUMN arrived_at;
DROP INDEX agents_review_idx;
ALTER TABLE agents DROP COLUMN review_seq, DROP COLUMN review_at, ADD COLUMN woken_at timestamptz;
ALTER TABLE model_rollouts DROP COLUMN tend_at;
ALTER TABLE operations DROP COLUMN tend_at;
