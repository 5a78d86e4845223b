-- +goose Up
-- The trace that an operation began in, where traces are on; empty where they are off or
-- the trace was not kept.
ALTER TABLE operations ADD COLUMN trace_id text NOT NULL DEFAULT '';
ALTER TABLE operations ADD CONSTRAINT operations_trace_id_form CHECK (trace_id = '' OR trace_id ~ '^[0-9a-f]{32}$') NOT VALID;

-- What installation this database is of: one row, made by the first worker, which ties it
-- to a namespace of Temporal.
CREATE TABLE installation (
    only_one  boolean PRIMARY KEY DEFAULT true CONSTRAINT installation_only_one CHECK (only_one),
    id        text NOT NULL CONSTRAINT installation_id_length CHECK (length(id) = 36),
    made_at   timestamptz NOT NULL DEFAULT now()
);

-- +goose Down
DROP TABLE installation;
ALTER TABLE operations DROP COLUMN trace_id;
