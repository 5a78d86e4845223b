-- +goose Up
-- A notice counts for the statistics of its pool, which all clients are judged by, when
-- its instance was proven to be a spot instance of the client that reports it.
ALTER TABLE interruptions ADD COLUMN proven boolean NOT NULL DEFAULT false;
UPDATE interruptions x
SET proven = true
FROM instances i
WHERE i.id = x.instance_id
  AND i.client_id = x.client_id
  AND i.proof <> 'unproven'
  AND i.mode = 'spot';

-- +goose Down
ALTER TABLE interruptions DROP COLUMN proven;
