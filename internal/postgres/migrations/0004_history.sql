-- +goose Up
-- What the daily jobs keep of tenants: how many there are, and what they saved.

CREATE TABLE client_snapshots (
    day         date PRIMARY KEY, -- UTC
    total       int NOT NULL CONSTRAINT client_snapshots_total CHECK (total >= 0),
    new_clients int NOT NULL CONSTRAINT client_snapshots_new CHECK (new_clients >= 0), -- made on that day
    active      int NOT NULL CONSTRAINT client_snapshots_active CHECK (active >= 0),
    taken_at    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE client_savings (
    client_id   text NOT NULL CONSTRAINT client_savings_client_fk REFERENCES clients ON DELETE CASCADE,
    month       date NOT NULL CONSTRAINT client_savings_month CHECK (extract(day FROM month) = 1), -- its first day, UTC
    baseline    numeric(16, 6) NOT NULL CONSTRAINT client_savings_baseline CHECK (baseline >= 0), -- USD, all on demand
    actual      numeric(16, 6) NOT NULL CONSTRAINT client_savings_actual CHECK (actual >= 0),     -- USD, as it was
    savings     numeric(16, 6) NOT NULL, -- USD; negative when spot was dearer
    provisional boolean NOT NULL DEFAULT true, -- the month is not over
    details     jsonb NOT NULL DEFAULT '{}',
    computed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (client_id, month)
);

-- +goose Down
DROP TABLE client_savings, client_snapshots;
