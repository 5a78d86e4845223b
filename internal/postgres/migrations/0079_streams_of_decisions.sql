-- +goose NO TRANSACTION
-- +goose Up
-- The indexes of the streams of decisions, made while others read and write. A run
-- that was cut off leaves an index that is not valid, so each is dropped first.

-- One row per stream can be said again, so two writers never count on two rows.
DROP INDEX CONCURRENTLY IF EXISTS decisions_one_newest;
CREATE UNIQUE INDEX CONCURRENTLY decisions_one_newest ON decisions (agent_id, source, shadow) WHERE newest;

-- Of each stream the newest decisions are those with the highest ids.
DROP INDEX CONCURRENTLY IF EXISTS decisions_stream_idx;
CREATE INDEX CONCURRENTLY decisions_stream_idx ON decisions (agent_id, shadow, source, id DESC);
DROP INDEX CONCURRENTLY IF EXISTS decisions_agent_idx;

ALTER TABLE decisions VALIDATE CONSTRAINT decisions_repeats;
ALTER TABLE decisions VALIDATE CONSTRAINT decisions_repeats_have_a_last_time;
ALTER TABLE decisions VALIDATE CONSTRAINT decisions_repeats_have_a_last_period;
ALTER TABLE decisions VALIDATE CONSTRAINT decisions_orders_do_not_repeat;

-- To say it again changes no indexed column and finds room beside the row.
ALTER TABLE decisions SET (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 5000);

-- +goose Down
ALTER TABLE decisions RESET (fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
CREATE INDEX CONCURRENTLY decisions_agent_idx ON decisions (agent_id, id DESC);
DROP INDEX CONCURRENTLY decisions_stream_idx;
DROP INDEX CONCURRENTLY decisions_one_newest;
