-- +goose Up
-- What an instance says of prices that is not proven to be the tenant's is evidence: it is
-- kept and shown, and counts for no pool. What such instances said before is evidence too.
ALTER TABLE price_submissions ADD COLUMN evidence boolean NOT NULL DEFAULT false;
UPDATE price_submissions s
SET evidence = true
WHERE s.agent_id IS NOT NULL
  AND NOT EXISTS (
    SELECT FROM instances i
    WHERE i.id = s.instance_id
      AND i.agent_id = s.agent_id
      AND i.proof <> 'unproven');

-- +goose Down
ALTER TABLE price_submissions DROP COLUMN evidence;
