-- +goose Up
-- What callers other than operators prove themselves with, beside the one token that a
-- client had before. Only hashes are here: a token is shown when it is made.

CREATE TABLE credentials (
    id               text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    client_id        text NOT NULL CONSTRAINT credentials_client_fk REFERENCES clients ON DELETE CASCADE,
    kind             text NOT NULL CONSTRAINT credentials_kind CHECK (kind IN ('enrolment', 'agent', 'tenant')),
    name             text NOT NULL DEFAULT '' CONSTRAINT credentials_name_length CHECK (length(name) <= 100),
    scope            text NOT NULL DEFAULT '' CONSTRAINT credentials_scope CHECK (scope IN ('', 'read', 'operate', 'admin')),
    token_hash       bytea NOT NULL CONSTRAINT credentials_token_hash_key UNIQUE
        CONSTRAINT credentials_token_hash_length CHECK (octet_length(token_hash) = 32), -- SHA-256
    logical_agent_id text CONSTRAINT credentials_logical_length CHECK (length(logical_agent_id) BETWEEN 1 AND 255), -- of an enrolment for one agent
    agent_id         text CONSTRAINT credentials_agent_fk REFERENCES agents ON DELETE CASCADE,
    instance_id      text CONSTRAINT credentials_instance_length CHECK (length(instance_id) BETWEEN 1 AND 64),
    parent_id        text, -- the enrolment that an agent's credential came from, or the one that it renews
    uses             int NOT NULL DEFAULT 0 CONSTRAINT credentials_uses CHECK (uses >= 0), -- that an enrolment has
    used             int NOT NULL DEFAULT 0,
    expires_at       timestamptz,
    renewed_at       timestamptz,
    last_used_at     timestamptz,
    last_address     text NOT NULL DEFAULT '',
    revoked_at       timestamptz,
    created_by       text NOT NULL DEFAULT '',
    created_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT credentials_tenant_has_scope CHECK ((kind = 'tenant') = (scope <> '')),
    CONSTRAINT credentials_agent_is_bound CHECK ((kind = 'agent') = (agent_id IS NOT NULL AND instance_id IS NOT NULL)),
    CONSTRAINT credentials_used_within_uses CHECK (kind <> 'enrolment' OR used <= uses),
    CONSTRAINT credentials_expiry CHECK (kind = 'tenant' OR expires_at IS NOT NULL)
);
CREATE INDEX credentials_client_idx ON credentials (client_id, created_at DESC);
CREATE INDEX credentials_agent_idx ON credentials (agent_id, instance_id) WHERE kind = 'agent';
CREATE INDEX credentials_expired_idx ON credentials (expires_at);

-- An instance uses an enrolment once, however often it repeats its request.
CREATE TABLE credential_uses (
    credential_id text NOT NULL CONSTRAINT credential_uses_credential_fk REFERENCES credentials ON DELETE CASCADE,
    instance_id   text NOT NULL CONSTRAINT credential_uses_instance_length CHECK (length(instance_id) BETWEEN 1 AND 64),
    used_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (credential_id, instance_id)
);

-- What the token from before may do. Clients from before keep everything.
ALTER TABLE clients ADD COLUMN legacy_token text NOT NULL DEFAULT 'all'
    CONSTRAINT clients_legacy_token CHECK (legacy_token IN ('all', 'agent', 'off'));

-- +goose Down
ALTER TABLE clients DROP COLUMN legacy_token;
DROP TABLE credential_uses, credentials;
