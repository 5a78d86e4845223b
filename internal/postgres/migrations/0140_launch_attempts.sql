-- +goose Up
-- A candidate may be asked for more than once: in another subnet of its zone, or without a
-- key pair that was deleted. Each request has a token of its own.
ALTER TABLE launches ADD COLUMN attempt int NOT NULL DEFAULT 0;
ALTER TABLE launches ADD CONSTRAINT launches_attempt CHECK (attempt >= 0);
ALTER TABLE launches DROP CONSTRAINT launches_one_per_replica_and_pool;
ALTER TABLE launches ADD CONSTRAINT launches_one_per_replica_pool_and_attempt UNIQUE (replica_id, pool_id, mode, attempt);

-- +goose Down
DELETE FROM launches WHERE attempt > 0;
ALTER TABLE launches DROP CONSTRAINT launches_one_per_replica_pool_and_attempt;
ALTER TABLE launches ADD CONSTRAINT launches_one_per_replica_and_pool UNIQUE (replica_id, pool_id, mode);
ALTER TABLE launches DROP COLUMN attempt;
