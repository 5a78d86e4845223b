-- +goose NO TRANSACTION
-- +goose Up
-- An instance plays a part for an agent of its own client only. The rule holds for rows
-- from now on: what is there already is not read, so no table is locked for long.
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS agents_id_client_key ON agents (id, client_id);
ALTER TABLE instances DROP CONSTRAINT IF EXISTS instances_agent_of_client_fk;
ALTER TABLE instances ADD CONSTRAINT instances_agent_of_client_fk FOREIGN KEY (agent_id, client_id)
    REFERENCES agents (id, client_id) ON DELETE CASCADE NOT VALID;
ALTER TABLE replicas DROP CONSTRAINT IF EXISTS replicas_agent_of_client_fk;
ALTER TABLE replicas ADD CONSTRAINT replicas_agent_of_client_fk FOREIGN KEY (agent_id, client_id)
    REFERENCES agents (id, client_id) ON DELETE CASCADE NOT VALID;

-- +goose Down
ALTER TABLE replicas DROP CONSTRAINT IF EXISTS replicas_agent_of_client_fk;
ALTER TABLE instances DROP CONSTRAINT IF EXISTS instances_agent_of_client_fk;
DROP INDEX CONCURRENTLY IF EXISTS agents_id_client_key;
