-- +goose Up
-- Clients that have registered an instance which another client named before them. While
-- the other one's claim is unproven, EC2 is asked through the role of each.
CREATE TABLE instance_claims (
    instance_id text NOT NULL CONSTRAINT instance_claims_length CHECK (length(instance_id) BETWEEN 1 AND 64),
    client_id   text NOT NULL CONSTRAINT instance_claims_client_fk REFERENCES clients ON DELETE CASCADE,
    region      text NOT NULL DEFAULT '',
    claimed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT instance_claims_once PRIMARY KEY (instance_id, client_id)
);

-- +goose Down
DROP TABLE instance_claims;
