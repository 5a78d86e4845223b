-- +goose Up
-- What runs for a client, without what has ended: a list of its agents reads as many
-- rows as it shows, however many instances the agents had before.
CREATE INDEX instances_client_live_idx ON instances (client_id) WHERE role <> 'retired';

-- +goose Down
DROP INDEX instances_client_live_idx;
