-- +goose Up
-- Which primaries are new is asked every two seconds, and must not be found by
-- looking at all of them.
CREATE INDEX instances_primary_since_idx ON instances (primary_since) WHERE role = 'primary';

-- +goose Down
DROP INDEX instances_primary_since_idx;
