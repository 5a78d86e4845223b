-- +goose Up
-- Decisions that act: what holds them back, how many agents may move at once, and
-- what became of each decision.

-- One row per subject and rank of who paused it. A client does not lift what an
-- operator paused.
CREATE TABLE pauses (
    scope       text NOT NULL CONSTRAINT pauses_scope CHECK (scope IN ('global', 'client', 'agent')),
    subject     text NOT NULL DEFAULT '', -- id of the client or the agent
    by_operator boolean NOT NULL,
    client_id   text CONSTRAINT pauses_client_fk REFERENCES clients ON DELETE CASCADE, -- whose it is; null for all
    agent_id    text CONSTRAINT pauses_agent_fk REFERENCES agents ON DELETE CASCADE,
    until       timestamptz NOT NULL,
    reason      text NOT NULL DEFAULT '' CONSTRAINT pauses_reason_length CHECK (length(reason) <= 500),
    created_by  text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pauses_one_per_subject PRIMARY KEY (scope, subject, by_operator),
    CONSTRAINT pauses_name_their_subject CHECK (CASE scope
        WHEN 'global' THEN subject = '' AND client_id IS NULL AND agent_id IS NULL
        WHEN 'client' THEN client_id IS NOT DISTINCT FROM subject AND agent_id IS NULL
        ELSE agent_id IS NOT DISTINCT FROM subject AND client_id IS NOT NULL END)
);
CREATE INDEX pauses_client_idx ON pauses (client_id);
INSERT INTO pauses (scope, subject, by_operator, client_id, until, created_by)
    SELECT 'client', id, true, id, paused_until, 'system' FROM clients WHERE paused_until > now();
INSERT INTO pauses (scope, subject, by_operator, client_id, agent_id, until, created_by)
    SELECT 'agent', id, true, client_id, id, paused_until, 'system' FROM agents WHERE paused_until > now();
ALTER TABLE clients DROP COLUMN paused_until;
ALTER TABLE agents DROP COLUMN paused_until;

-- How many may move at once. The one row is also what voluntary orders queue at,
-- so that two of them never count the same room.
CREATE TABLE fleet_limits (
    only_row           boolean PRIMARY KEY DEFAULT true CONSTRAINT fleet_limits_only_row CHECK (only_row),
    max_moving_percent numeric(5, 2) NOT NULL DEFAULT 20 CONSTRAINT fleet_limits_moving CHECK (max_moving_percent BETWEEN 0 AND 100)
);
INSERT INTO fleet_limits DEFAULT VALUES;
ALTER TABLE clients ADD COLUMN max_moving_percent numeric(5, 2) NOT NULL DEFAULT 10
    CONSTRAINT clients_moving CHECK (max_moving_percent BETWEEN 0 AND 100);
CREATE INDEX operations_running_idx ON operations (agent_id) WHERE state = 'running';

ALTER TABLE decisions
    ADD COLUMN source     text NOT NULL DEFAULT 'agent' CONSTRAINT decisions_source CHECK (source IN ('agent', 'command', 'schedule')), -- who asked
    ADD COLUMN period     timestamptz, -- of the run of fleet-decisions
    ADD COLUMN outcome    text NOT NULL DEFAULT '', -- of a move: open, ordered, lapsed, or the code of what refused it
    ADD COLUMN command_id text,
    ADD CONSTRAINT decisions_scheduled_have_a_period CHECK ((source = 'schedule') = (period IS NOT NULL)),
    ADD CONSTRAINT decisions_shadow_does_nothing CHECK (NOT shadow OR outcome = '' AND command_id IS NULL);
CREATE UNIQUE INDEX decisions_once_per_period ON decisions (period, agent_id, shadow) WHERE period IS NOT NULL;
CREATE INDEX decisions_open_idx ON decisions (period) WHERE outcome = 'open';

-- +goose Down
DROP INDEX decisions_open_idx, decisions_once_per_period;
ALTER TABLE decisions DROP CONSTRAINT decisions_shadow_does_nothing, DROP CONSTRAINT decisions_scheduled_have_a_period,
    DROP COLUMN command_id, DROP COLUMN outcome, DROP COLUMN period, DROP COLUMN source;
DROP INDEX operations_running_idx;
ALTER TABLE clients DROP COLUMN max_moving_percent;
DROP TABLE fleet_limits;
ALTER TABLE agents ADD COLUMN paused_until timestamptz;
ALTER TABLE clients ADD COLUMN paused_until timestamptz;
DROP TABLE pauses;
