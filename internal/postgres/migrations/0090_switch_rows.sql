-- +goose Up
-- A switch reads its rows, so what an agent says of it is a row and needs no message:
-- with a report its operation is open, and the sweep starts what is missing.
ALTER TABLE commands ADD COLUMN new_instance_id text; -- on which the agent registered while it performed the command

INSERT INTO operations AS o (id, kind, client_id, agent_id, instance_id, summary, cause)
SELECT 'switch/' || s.id, 'switch', s.client_id, s.agent_id, s.old_id, 'switch of ' || a.logical_agent_id, 'reported by the agent'
FROM switches s
JOIN agents a ON a.id = s.agent_id
WHERE s.reported_at IS NOT NULL
  AND s.told_at IS NULL
ON CONFLICT (id) DO UPDATE
SET state = 'running',
    ended_at = NULL,
    error_code = NULL,
    error = NULL,
    tend_at = clock_timestamp()
WHERE o.state <> 'running';

DROP INDEX commands_untold_idx;
DROP INDEX switches_untold_idx;
ALTER TABLE commands DROP COLUMN told_at;
ALTER TABLE switches DROP COLUMN told_at;

-- +goose Down
ALTER TABLE switches ADD COLUMN told_at timestamptz;
ALTER TABLE commands ADD COLUMN told_at timestamptz;
UPDATE switches SET told_at = clock_timestamp() WHERE reported_at IS NOT NULL;
UPDATE commands SET told_at = clock_timestamp() WHERE executed_at IS NOT NULL;
CREATE INDEX switches_untold_idx ON switches (reported_at) WHERE told_at IS NULL;
CREATE INDEX commands_untold_idx ON commands (executed_at) WHERE told_at IS NULL AND executed_at IS NOT NULL;
ALTER TABLE commands DROP COLUMN new_instance_id;
