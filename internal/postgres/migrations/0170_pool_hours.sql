-- +goose NO TRANSACTION
-- +goose Up
-- The instance-hours of a pool in the last week are counted for each choice.
CREATE INDEX CONCURRENTLY IF NOT EXISTS instances_pool_idx ON instances (pool_id, terminated_at);

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS instances_pool_idx;
