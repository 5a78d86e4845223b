-- +goose Up
-- What was checked in calm of each agent, so that a replacement does not fail in an
-- emergency: the last report.
CREATE TABLE preflights (
    agent_id   text PRIMARY KEY CONSTRAINT preflights_agent_fk REFERENCES agents ON DELETE CASCADE,
    result     text NOT NULL CONSTRAINT preflights_result CHECK (result IN ('ok', 'failed', 'warning', 'unknown')),
    checks     jsonb NOT NULL,
    checked_at timestamptz NOT NULL DEFAULT now()
);

-- +goose Down
DROP TABLE preflights;
