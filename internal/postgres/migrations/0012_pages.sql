-- +goose Up
-- Where a page of a list begins, without reading what is before it.
CREATE INDEX clients_created_idx ON clients (created_at DESC, id);
CREATE INDEX replicas_client_open_idx ON replicas (client_id, created_at DESC, id) WHERE state IN ('requested', 'launching', 'running', 'ready');

-- +goose Down
DROP INDEX replicas_client_open_idx, clients_created_idx;
