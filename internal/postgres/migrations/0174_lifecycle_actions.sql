-- +goose Up
-- Lifecycle actions of Auto Scaling groups that wait until an agent has left the instance
-- that its group ends.
CREATE TABLE lifecycle_actions (
    token       text PRIMARY KEY CONSTRAINT lifecycle_actions_token_length CHECK (length(token) BETWEEN 1 AND 64),
    instance_id text NOT NULL CONSTRAINT lifecycle_actions_instance_fk REFERENCES instances ON DELETE CASCADE,
    group_name  text NOT NULL CONSTRAINT lifecycle_actions_group_length CHECK (length(group_name) BETWEEN 1 AND 255),
    hook_name   text NOT NULL CONSTRAINT lifecycle_actions_hook_length CHECK (length(hook_name) BETWEEN 1 AND 255),
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    try_at      timestamptz DEFAULT clock_timestamp(), -- when it is looked at again; null: it has ended
    result      text NOT NULL DEFAULT '' CONSTRAINT lifecycle_actions_result CHECK (result IN ('', 'continue', 'abandon', 'over')),
    CONSTRAINT lifecycle_actions_ended CHECK ((result <> '') = (try_at IS NULL))
);
CREATE INDEX lifecycle_actions_due_idx ON lifecycle_actions (try_at) WHERE try_at IS NOT NULL;
CREATE INDEX lifecycle_actions_instance_idx ON lifecycle_actions (instance_id);

-- +goose Down
DROP TABLE lifecycle_actions;
