-- +goose Up
-- When voluntary moves were paused last because too many of them failed. Failures from before
-- do not count again.
CREATE TABLE move_breakers (
    subject    text PRIMARY KEY, -- the id of a client; empty: all clients
    client_id  text CONSTRAINT move_breakers_client_fk REFERENCES clients ON DELETE CASCADE,
    tripped_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT move_breakers_name_their_subject CHECK (subject = coalesce(client_id, ''))
);
CREATE INDEX move_breakers_client_idx ON move_breakers (client_id);

-- +goose Down
DROP TABLE move_breakers;
