-- +goose NO TRANSACTION
-- +goose Up
-- The attempts to launch that are open, for the sweep that closes those given up. Built
-- beside the writers.
CREATE INDEX CONCURRENTLY IF NOT EXISTS launches_open_idx ON launches (client_id) WHERE state = 'requested';

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS launches_open_idx;
