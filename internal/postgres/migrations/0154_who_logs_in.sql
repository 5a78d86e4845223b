-- +goose Up
-- Operators have roles, and tenants log in to the console too. A session of a tenant names
-- its client, and the credential that it was begun with unless that is the client's old
-- token. The trail says which role an operator acted in.
ALTER TABLE operator_sessions DROP CONSTRAINT operator_sessions_operator_length;
ALTER TABLE operator_sessions
    ALTER COLUMN operator SET DEFAULT '',
    ADD COLUMN role text NOT NULL DEFAULT '' CONSTRAINT operator_sessions_role CHECK (role IN ('', 'viewer', 'operator', 'admin')),
    ADD COLUMN via text NOT NULL DEFAULT 'token' CONSTRAINT operator_sessions_via CHECK (via IN ('token', 'oidc')),
    ADD COLUMN client_id text CONSTRAINT operator_sessions_client_fk REFERENCES clients ON DELETE CASCADE,
    ADD COLUMN credential_id text CONSTRAINT operator_sessions_credential_fk REFERENCES credentials ON DELETE CASCADE,
    ADD CONSTRAINT operator_sessions_operator_length CHECK (length(operator) <= 255),
    ADD CONSTRAINT operator_sessions_is_of_one CHECK ((operator <> '') = (client_id IS NULL)),
    ADD CONSTRAINT operator_sessions_credential_of_client CHECK (credential_id IS NULL OR client_id IS NOT NULL);
-- Sessions from before are those of operators who could do everything.
UPDATE operator_sessions SET role = 'admin';
CREATE INDEX operator_sessions_client_idx ON operator_sessions (client_id) WHERE client_id IS NOT NULL;
CREATE INDEX operator_sessions_credential_idx ON operator_sessions (credential_id) WHERE credential_id IS NOT NULL;

ALTER TABLE events ADD COLUMN actor_role text NOT NULL DEFAULT '';
ALTER TABLE trail ADD COLUMN actor_role text NOT NULL DEFAULT '';
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION trail_takes_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO trail (client_id, agent_id, type, outcome, actor, actor_kind, actor_id, actor_role, token_id, address, request_id, message, details)
    VALUES (coalesce(NEW.client_id, ''), coalesce(NEW.agent_id, ''), NEW.type,
            CASE WHEN NEW.type = 'auth_failed' THEN 'refused' ELSE 'done' END, NEW.actor,
            NEW.actor_kind, NEW.actor_id, NEW.actor_role, NEW.token_id, NEW.address, NEW.request_id, NEW.message, NEW.metadata);
    RETURN NEW;
END
$$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION trail_takes_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO trail (client_id, agent_id, type, outcome, actor, actor_kind, actor_id, token_id, address, request_id, message, details)
    VALUES (coalesce(NEW.client_id, ''), coalesce(NEW.agent_id, ''), NEW.type,
            CASE WHEN NEW.type = 'auth_failed' THEN 'refused' ELSE 'done' END, NEW.actor,
            NEW.actor_kind, NEW.actor_id, NEW.token_id, NEW.address, NEW.request_id, NEW.message, NEW.metadata);
    RETURN NEW;
END
$$;
-- +goose StatementEnd
ALTER TABLE trail DROP COLUMN actor_role;
ALTER TABLE events DROP COLUMN actor_role;
DELETE FROM operator_sessions WHERE client_id IS NOT NULL;
ALTER TABLE operator_sessions DROP CONSTRAINT operator_sessions_operator_length;
ALTER TABLE operator_sessions
    DROP COLUMN role, DROP COLUMN via, DROP COLUMN client_id, DROP COLUMN credential_id,
    ALTER COLUMN operator DROP DEFAULT,
    ADD CONSTRAINT operator_sessions_operator_length CHECK (length(operator) BETWEEN 1 AND 255);
