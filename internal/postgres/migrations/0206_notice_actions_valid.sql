-- +goose Up
-- 0205 added the constraint without a look at the rows.
ALTER TABLE notices VALIDATE CONSTRAINT notices_action;

-- +goose Down
SELECT 1; -- a constraint stays valid
