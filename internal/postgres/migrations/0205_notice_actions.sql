-- +goose Up
-- What AWS does with the instance of a termination notice. Empty: the notice does not say.
ALTER TABLE notices ADD COLUMN action text NOT NULL DEFAULT '';
ALTER TABLE notices ADD CONSTRAINT notices_action CHECK (action IN ('', 'terminate', 'stop', 'hibernate')) NOT VALID;

-- +goose Down
ALTER TABLE notices DROP COLUMN action;
