-- +goose Up
-- What a client allows of voluntary moves, where it said something else than the default.
CREATE TABLE move_rules (
    client_id      text PRIMARY KEY CONSTRAINT move_rules_client_fk REFERENCES clients ON DELETE CASCADE,
    to_spot        text NOT NULL DEFAULT 'auto' CONSTRAINT move_rules_to_spot CHECK (to_spot IN ('auto', 'ask', 'never')),
    to_ondemand    text NOT NULL DEFAULT 'auto' CONSTRAINT move_rules_to_ondemand CHECK (to_ondemand IN ('auto', 'ask', 'never')),
    requested      text NOT NULL DEFAULT 'auto' CONSTRAINT move_rules_requested CHECK (requested IN ('auto', 'ask', 'never')),
    maintenance    text NOT NULL DEFAULT 'auto' CONSTRAINT move_rules_maintenance CHECK (maintenance IN ('auto', 'ask', 'never')),
    answer_minutes int NOT NULL CONSTRAINT move_rules_answer_minutes CHECK (answer_minutes BETWEEN 15 AND 10080),
    windows        jsonb NOT NULL DEFAULT '[]' CONSTRAINT move_rules_windows
        CHECK (jsonb_typeof(windows) = 'array' AND jsonb_array_length(windows) <= 20),
    updated_at     timestamptz NOT NULL DEFAULT now()
);

-- Questions about voluntary moves, with their answers. An open one is pending or approved.
CREATE TABLE move_approvals (
    id            text PRIMARY KEY,
    client_id     text NOT NULL CONSTRAINT move_approvals_client_fk REFERENCES clients ON DELETE CASCADE,
    agent_id      text NOT NULL CONSTRAINT move_approvals_agent_fk REFERENCES agents ON DELETE CASCADE,
    instance_id   text NOT NULL, -- the primary that it is about; no reference: the answer outlives it
    kind          text NOT NULL CONSTRAINT move_approvals_kind CHECK (kind IN ('to_spot', 'to_ondemand', 'requested', 'maintenance')),
    mode          text NOT NULL CONSTRAINT move_approvals_mode CHECK (mode IN ('spot', 'ondemand')),
    pool_id       text NOT NULL DEFAULT '',
    instance_type text NOT NULL DEFAULT '',
    reason        text NOT NULL DEFAULT '' CONSTRAINT move_approvals_reason_length CHECK (length(reason) <= 2000),
    asked_by      text NOT NULL,
    state         text NOT NULL DEFAULT 'pending'
        CONSTRAINT move_approvals_state CHECK (state IN ('pending', 'approved', 'rejected', 'lapsed', 'outdated', 'used')),
    asked_at      timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL, -- of a pending one: to be answered before; of an approved one: to be carried out before
    answered_at   timestamptz,
    answered_by   text NOT NULL DEFAULT '',
    command_id    text NOT NULL DEFAULT '',
    CONSTRAINT move_approvals_answered CHECK ((answered_at IS NULL) = (answered_by = ''))
);
CREATE UNIQUE INDEX move_approvals_one_open_per_kind ON move_approvals (agent_id, kind) WHERE state IN ('pending', 'approved');
CREATE INDEX move_approvals_client_idx ON move_approvals (client_id, asked_at DESC, id);
CREATE INDEX move_approvals_agent_idx ON move_approvals (agent_id, asked_at DESC);
CREATE INDEX move_approvals_open_idx ON move_approvals (expires_at) WHERE state IN ('pending', 'approved');
CREATE INDEX move_approvals_asked_idx ON move_approvals (asked_at DESC, id);

-- The question that a notification is about; webhooks get a link for it.
ALTER TABLE notifications ADD COLUMN approval_id text NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE notifications DROP COLUMN approval_id;
DROP TABLE move_approvals;
DROP TABLE move_rules;
