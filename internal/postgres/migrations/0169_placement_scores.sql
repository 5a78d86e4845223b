-- +goose Up
-- EC2's placement scores of zones for the types that can replace a type, by client, because
-- zones have a name per account. The last ones.
CREATE TABLE placement_scores (
    client_id     text NOT NULL CONSTRAINT placement_scores_client_fk REFERENCES clients ON DELETE CASCADE,
    region        text NOT NULL,
    instance_type text NOT NULL, -- that is to be replaced
    az            text NOT NULL,
    score         int NOT NULL CONSTRAINT placement_scores_range CHECK (score BETWEEN 1 AND 10),
    read_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT placement_scores_once PRIMARY KEY (client_id, region, instance_type, az)
);

-- When EC2 was asked for scores, and whether the role may not ask.
CREATE TABLE placement_score_reads (
    client_id     text NOT NULL CONSTRAINT placement_score_reads_client_fk REFERENCES clients ON DELETE CASCADE,
    region        text NOT NULL,
    instance_type text NOT NULL,
    refused       boolean NOT NULL,
    read_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT placement_score_reads_once PRIMARY KEY (client_id, region, instance_type)
);

-- +goose Down
DROP TABLE placement_score_reads;
DROP TABLE placement_scores;
