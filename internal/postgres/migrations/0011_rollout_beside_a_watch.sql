-- +goose Up
-- A session that is live and watched is watched on until the next one takes its
-- first stage: one that fails its validation must not end the watch of another.
-- Together the two allow one rollout that is validated beside one that is live,
-- and no other pair: the effects of two could not be told apart.
DROP INDEX model_rollouts_one_open;
CREATE UNIQUE INDEX model_rollouts_one_open ON model_rollouts ((phase = 'live')) WHERE ended_at IS NULL; -- one that is under way
CREATE UNIQUE INDEX model_rollouts_one_stage ON model_rollouts ((phase = 'validating')) WHERE ended_at IS NULL; -- one that processes serve by

-- +goose Down
UPDATE model_rollouts SET phase = 'completed', ended_at = clock_timestamp() WHERE phase = 'live' AND ended_at IS NULL
    AND EXISTS (SELECT FROM model_rollouts WHERE ended_at IS NULL AND phase <> 'live');
DROP INDEX model_rollouts_one_open, model_rollouts_one_stage;
CREATE UNIQUE INDEX model_rollouts_one_open ON model_rollouts ((true)) WHERE ended_at IS NULL;
