-- +goose Up
-- A heartbeat changes no indexed column any more, and finds room beside the row it
-- replaces: no index grows with heartbeats, and what lists read stays small. The
-- one reader of the index, agent-health, looks at every online agent anyway once
-- in five minutes.
DROP INDEX agents_heartbeat_idx;
ALTER TABLE agents SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500);
ALTER TABLE instances SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500);

-- +goose Down
ALTER TABLE instances RESET (fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
ALTER TABLE agents RESET (fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
CREATE INDEX agents_heartbeat_idx ON agents (last_heartbeat_at) WHERE status = 'online';
