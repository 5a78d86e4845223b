-- +goose Up
-- A webhook whose secret is replaced is signed with both until its receiver has the new one.
ALTER TABLE notification_sinks
    ADD COLUMN secret_before_sealed bytea,
    ADD COLUMN secret_before_until timestamptz,
    ADD CONSTRAINT notification_sinks_secret_before_ends CHECK (secret_before_sealed IS NULL OR secret_before_until IS NOT NULL);

-- +goose Down
ALTER TABLE notification_sinks DROP COLUMN secret_before_sealed, DROP COLUMN secret_before_until;
