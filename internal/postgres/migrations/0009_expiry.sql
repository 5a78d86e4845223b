-- +goose Up
-- Where the cleanup finds old decisions without reading the new ones. They come in
-- order of time, so a block range index is enough and costs writers nothing.
CREATE INDEX decisions_created_idx ON decisions USING brin (created_at);

-- +goose Down
DROP INDEX decisions_created_idx;
