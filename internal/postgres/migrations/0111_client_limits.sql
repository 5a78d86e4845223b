-- +goose Up
-- What a client may have, where an operator said something else than the default.
CREATE TABLE client_limits (
    client_id         text PRIMARY KEY CONSTRAINT client_limits_client_fk REFERENCES clients ON DELETE CASCADE,
    agents            int NOT NULL CONSTRAINT client_limits_agents CHECK (agents >= 0),
    open_replicas     int NOT NULL CONSTRAINT client_limits_open_replicas CHECK (open_replicas >= 0),
    launches_per_hour int NOT NULL CONSTRAINT client_limits_launches CHECK (launches_per_hour >= 0),
    updated_at        timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX launches_client_idx ON launches (client_id, created_at DESC);

-- +goose Down
DROP INDEX launches_client_idx;
DROP TABLE client_limits;
