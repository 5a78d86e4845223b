-- +goose Up
-- Moves that AWS's scheduled changes make necessary: an agent is to leave an instance before
-- AWS stops or retires it.
CREATE TABLE planned_moves (
    event_id    text NOT NULL CONSTRAINT planned_moves_event_length CHECK (length(event_id) BETWEEN 1 AND 256),
    instance_id text NOT NULL CONSTRAINT planned_moves_instance_fk REFERENCES instances ON DELETE CASCADE,
    client_id   text NOT NULL CONSTRAINT planned_moves_client_fk REFERENCES clients ON DELETE CASCADE,
    agent_id    text NOT NULL CONSTRAINT planned_moves_agent_fk REFERENCES agents ON DELETE CASCADE,
    reason      text NOT NULL CONSTRAINT planned_moves_reason_length CHECK (length(reason) <= 256),
    due_at      timestamptz NOT NULL, -- when AWS acts
    try_at      timestamptz,          -- when the move is ordered, or tried again; null: it has ended
    result      text NOT NULL DEFAULT '' CONSTRAINT planned_moves_result CHECK (result IN ('', 'ordered', 'gone', 'missed')),
    command_id  text NOT NULL DEFAULT '',
    refusal     text NOT NULL DEFAULT '', -- why the last order was refused
    CONSTRAINT planned_moves_once PRIMARY KEY (event_id, instance_id),
    CONSTRAINT planned_moves_ended CHECK ((result <> '') = (try_at IS NULL))
);
CREATE INDEX planned_moves_due_idx ON planned_moves (try_at) WHERE try_at IS NOT NULL;
CREATE INDEX planned_moves_agent_idx ON planned_moves (agent_id);
CREATE INDEX planned_moves_client_idx ON planned_moves (client_id);
CREATE INDEX planned_moves_instance_idx ON planned_moves (instance_id);

-- +goose Down
DROP TABLE planned_moves;
