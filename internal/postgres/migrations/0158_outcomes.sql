-- +goose NO TRANSACTION
-- +goose Up
-- What ended since a moment, for counters. Built beside the writers.
CREATE INDEX CONCURRENTLY IF NOT EXISTS launches_ended_idx ON launches (ended_at) WHERE ended_at IS NOT NULL;

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS launches_ended_idx;
