-- +goose Up
-- The client that an identity document was shown for. In an account that clients share it
-- proves whose the instance is. Rows from before prove nothing.
ALTER TABLE join_documents ADD COLUMN client_id text
    CONSTRAINT join_documents_client_length CHECK (length(client_id) BETWEEN 1 AND 64);

-- +goose Down
ALTER TABLE join_documents DROP COLUMN client_id;
