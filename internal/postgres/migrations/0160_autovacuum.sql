-- +goose Up
-- Tables whose rows are written many times over are cleaned after a twentieth of them has
-- changed. The default of a fifth leaves a million dead rows before the open ones.
ALTER TABLE operations SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500);
ALTER TABLE replicas SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500);
ALTER TABLE notices SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500);
ALTER TABLE commands SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500);
-- Logs only grow, and are read by their newest rows: their visibility map is what counts.
ALTER TABLE events SET (autovacuum_vacuum_insert_scale_factor = 0.05);
ALTER TABLE operation_steps SET (autovacuum_vacuum_insert_scale_factor = 0.05);

-- +goose Down
ALTER TABLE operation_steps RESET (autovacuum_vacuum_insert_scale_factor);
ALTER TABLE events RESET (autovacuum_vacuum_insert_scale_factor);
ALTER TABLE commands RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
ALTER TABLE notices RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
ALTER TABLE replicas RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
ALTER TABLE operations RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
