-- +goose Up
-- Agents join by what AWS says of their instance, without a token.

-- Which instances of a client's account may.
CREATE TABLE client_join_rules (
    client_id  text PRIMARY KEY CONSTRAINT client_join_rules_client_fk REFERENCES clients ON DELETE CASCADE,
    roles      text[] NOT NULL DEFAULT '{}' CONSTRAINT client_join_rules_roles CHECK (cardinality(roles) <= 50),
    documents  boolean NOT NULL DEFAULT false, -- identity documents are accepted
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- What agents sign within a minute. A row goes when it is used.
CREATE TABLE join_challenges (
    hash       bytea PRIMARY KEY CONSTRAINT join_challenges_hash_length CHECK (octet_length(hash) = 32), -- SHA-256
    address    text NOT NULL CONSTRAINT join_challenges_address_length CHECK (length(address) <= 64),
    expires_at timestamptz NOT NULL
);
CREATE INDEX join_challenges_expired_idx ON join_challenges (expires_at);
CREATE INDEX join_challenges_address_idx ON join_challenges (address);

-- The last identity document that an instance has joined with: each is good once. Only
-- the process that used it first may repeat its request, by its attempt.
CREATE TABLE join_documents (
    instance_id  text PRIMARY KEY CONSTRAINT join_documents_instance_length CHECK (length(instance_id) BETWEEN 1 AND 64),
    pending_time timestamptz NOT NULL,
    attempt_hash bytea NOT NULL CONSTRAINT join_documents_attempt_length CHECK (octet_length(attempt_hash) = 32), -- SHA-256
    used_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX join_documents_used_idx ON join_documents (used_at);

-- +goose Down
DROP TABLE join_documents, join_challenges, client_join_rules;
