-- +goose Up
-- What a person keeps launches out of: a spot pool, for all clients or for one, until a time.
CREATE TABLE pool_blocks (
    pool_id     text NOT NULL CONSTRAINT pool_blocks_pool_fk REFERENCES pools ON DELETE CASCADE,
    subject     text NOT NULL, -- the id of a client; empty: all clients
    by_operator boolean NOT NULL, -- lifted by operators only
    client_id   text CONSTRAINT pool_blocks_client_fk REFERENCES clients ON DELETE CASCADE,
    until       timestamptz NOT NULL,
    reason      text NOT NULL CONSTRAINT pool_blocks_reason_length CHECK (length(reason) BETWEEN 1 AND 500),
    created_by  text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pool_blocks_one_per_subject PRIMARY KEY (pool_id, subject, by_operator),
    CONSTRAINT pool_blocks_name_their_subject CHECK (subject = coalesce(client_id, '')),
    CONSTRAINT pool_blocks_of_all_are_operators CHECK (client_id IS NOT NULL OR by_operator)
);
CREATE INDEX pool_blocks_client_idx ON pool_blocks (client_id);

-- +goose Down
DROP TABLE pool_blocks;
