-- +goose Up
-- What was checked in calm of a client's account in a region: its quotas against the loss
-- of a zone. The last report.
CREATE TABLE client_preflights (
    client_id  text NOT NULL CONSTRAINT client_preflights_client_fk REFERENCES clients ON DELETE CASCADE,
    region     text NOT NULL CONSTRAINT client_preflights_region_length CHECK (length(region) BETWEEN 1 AND 32),
    result     text NOT NULL CONSTRAINT client_preflights_result CHECK (result IN ('ok', 'failed', 'warning', 'unknown')),
    checks     jsonb NOT NULL,
    checked_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT client_preflights_once PRIMARY KEY (client_id, region)
);

-- +goose Down
DROP TABLE client_preflights;
