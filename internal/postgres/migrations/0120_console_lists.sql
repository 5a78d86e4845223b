-- +goose Up
-- The lists that the console reads all day: notices by their
-- arrival, operations and events of all clients by time.
CREATE INDEX operations_started_idx ON operations (started_at DESC, id);
CREATE INDEX notices_received_idx ON notices (received_at DESC);
CREATE INDEX interruptions_detected_idx ON interruptions (detected_at DESC);

-- +goose Down
DROP INDEX interruptions_detected_idx;
DROP INDEX notices_received_idx;
DROP INDEX operations_started_idx;
