-- +goose Up
-- An action whose instance EC2 does not show as ours is left to its group.
ALTER TABLE lifecycle_actions
    DROP CONSTRAINT lifecycle_actions_result,
    ADD CONSTRAINT lifecycle_actions_result CHECK (result IN ('', 'continue', 'abandon', 'over', 'not_ours'))
    NOT VALID;

-- +goose Down
UPDATE lifecycle_actions
SET result = 'over'
WHERE result = 'not_ours';
ALTER TABLE lifecycle_actions
    DROP CONSTRAINT lifecycle_actions_result,
    ADD CONSTRAINT lifecycle_actions_result CHECK (result IN ('', 'continue', 'abandon', 'over'));
