-- +goose Up
-- What instances without a part said of themselves when they registered. The oldest
-- agents say it only then, and their heartbeats carry an id alone: when such an
-- instance follows a lost primary, its row is made from what is kept here.
CREATE TABLE outside_instances (
    agent_id      text NOT NULL CONSTRAINT outside_instances_agent_fk REFERENCES agents ON DELETE CASCADE,
    instance_id   text NOT NULL CONSTRAINT outside_instances_id_length CHECK (length(instance_id) BETWEEN 1 AND 64),
    instance_type text NOT NULL,
    region        text NOT NULL,
    az            text NOT NULL,
    mode          text NOT NULL CONSTRAINT outside_instances_mode CHECK (mode IN ('spot', 'ondemand', 'unknown')),
    ami_id        text NOT NULL,
    seen_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT outside_instances_key PRIMARY KEY (agent_id, instance_id)
);

-- +goose Down
DROP TABLE outside_instances;
