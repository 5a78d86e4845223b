-- +goose Up
-- Operators' sessions: when they were used last, so that an idle one ends, and a list of
-- them. Those that were ended before their time are in ended_sessions as well.
CREATE TABLE operator_sessions (
    id           text PRIMARY KEY,
    operator     text NOT NULL CONSTRAINT operator_sessions_operator_length CHECK (length(operator) BETWEEN 1 AND 255),
    address      text NOT NULL DEFAULT '',
    started_at   timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL
);
CREATE INDEX operator_sessions_expires_idx ON operator_sessions (expires_at);

-- +goose Down
DROP TABLE operator_sessions;
