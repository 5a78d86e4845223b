-- +goose Up
-- When each subject of a sweep was last tried. A sweep takes those first that were
-- tried longest ago, so that what fails goes to the back and keeps nothing else
-- from its turn. It holds no decision: without a row a subject is merely first.
CREATE TABLE sweep_attempts (
    sweep    text NOT NULL, -- which kind of work
    subject  text NOT NULL, -- what it is done for; no reference: a subject may be gone
    tried_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT sweep_attempts_once PRIMARY KEY (sweep, subject)
);
CREATE INDEX sweep_attempts_tried_idx ON sweep_attempts USING brin (tried_at);

-- Of the sinks those first that were tried longest ago, for the same reason.
ALTER TABLE notification_sinks ADD COLUMN tried_at timestamptz;

-- +goose Down
ALTER TABLE notification_sinks DROP COLUMN tried_at;
DROP TABLE sweep_attempts;
