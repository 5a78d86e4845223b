-- +goose Up
-- A person may promote a standby whose agent has not been heard of.
ALTER TABLE promotions
    ADD COLUMN accept_silent boolean NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE promotions
    DROP COLUMN accept_silent;
