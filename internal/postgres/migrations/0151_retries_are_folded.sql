-- +goose Up
-- What is tried again for the same cause is one operation for those who read: the first
-- one, which counts the tries and has the newest reason.
ALTER TABLE operations ADD COLUMN retry_of text; -- the first operation of the same cause
ALTER TABLE operations ADD COLUMN tries int NOT NULL DEFAULT 1 CONSTRAINT operations_tries CHECK (tries > 0);
ALTER TABLE operations ADD COLUMN next_try_at timestamptz;

-- A notification says how often its cause came.
ALTER TABLE notifications ADD COLUMN occurrences int NOT NULL DEFAULT 1
    CONSTRAINT notifications_occurrences CHECK (occurrences > 0);
ALTER TABLE notifications ADD COLUMN last_at timestamptz NOT NULL DEFAULT clock_timestamp();
UPDATE notifications SET last_at = created_at;

-- +goose Down
ALTER TABLE notifications DROP COLUMN last_at, DROP COLUMN occurrences;
ALTER TABLE operations DROP COLUMN next_try_at, DROP COLUMN tries, DROP COLUMN retry_of;
