-- +goose Up
-- What pools cost. Submissions are what was told, buckets are what is true, and
-- pool_prices is the latest of each pool.

CREATE TABLE price_submissions (
    submission_id text NOT NULL,
    bucket        timestamptz NOT NULL, -- observed_at, floored to five minutes
    pool_id       text NOT NULL,
    instance_type text NOT NULL,
    region        text NOT NULL,
    az            text NOT NULL,
    price         numeric(12, 6) NOT NULL CONSTRAINT price_submissions_price_in_range CHECK (price > 0 AND price <= 100),
    ondemand_price numeric(12, 6) CONSTRAINT price_submissions_ondemand_in_range CHECK (ondemand_price > 0 AND ondemand_price <= 100),
    source_type   text NOT NULL
        CONSTRAINT price_submissions_source CHECK (source_type IN ('primary', 'replica-manual', 'replica-automatic', 'collector')),
    client_id     text, -- null: our own collector
    agent_id      text,
    instance_id   text,
    observed_at   timestamptz NOT NULL,
    received_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT price_submissions_once PRIMARY KEY (submission_id, pool_id, observed_at)
) PARTITION BY RANGE (observed_at);
CREATE INDEX price_submissions_received_idx ON price_submissions (received_at);
CREATE INDEX price_submissions_bucket_idx ON price_submissions (pool_id, bucket);
-- A missing partition is never an error for a reporter.
CREATE TABLE price_submissions_default PARTITION OF price_submissions DEFAULT;

CREATE TABLE pool_prices (
    pool_id       text PRIMARY KEY,
    instance_type text NOT NULL,
    region        text NOT NULL,
    az            text NOT NULL,
    price         numeric(12, 6) NOT NULL CONSTRAINT pool_prices_price_in_range CHECK (price > 0 AND price <= 100),
    source_type   text NOT NULL,
    observed_at   timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX pool_prices_place_idx ON pool_prices (region, instance_type, price);

CREATE TABLE on_demand_prices (
    region        text NOT NULL,
    instance_type text NOT NULL,
    price         numeric(12, 6) NOT NULL CONSTRAINT on_demand_prices_in_range CHECK (price > 0 AND price <= 100),
    source        text NOT NULL CONSTRAINT on_demand_prices_source CHECK (source IN ('pricing-api', 'agent')),
    observed_at   timestamptz NOT NULL,
    PRIMARY KEY (region, instance_type)
);

-- One row per pool and five minutes.
CREATE TABLE price_buckets (
    pool_id        text NOT NULL,
    bucket         timestamptz NOT NULL,
    price          numeric(12, 6) NOT NULL CONSTRAINT price_buckets_price_in_range CHECK (price > 0 AND price <= 100),
    ondemand_price numeric(12, 6),
    source_type    text NOT NULL
        CONSTRAINT price_buckets_source CHECK (source_type IN ('primary', 'replica-manual', 'replica-automatic', 'collector', 'interpolated')),
    confidence     numeric(3, 2) NOT NULL CONSTRAINT price_buckets_confidence CHECK (confidence BETWEEN 0 AND 1),
    method         text CONSTRAINT price_buckets_method CHECK (method IN ('linear', 'weighted-average', 'cross-pool')),
    submission_id  text, -- the one that decided
    observed_at    timestamptz NOT NULL,
    discrepancy    numeric(6, 4), -- largest |new - old| / old among equals, when above 10 %
    updated_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT price_buckets_one_per_pool PRIMARY KEY (pool_id, bucket),
    CONSTRAINT price_buckets_interpolated_has_method CHECK ((source_type = 'interpolated') = (method IS NOT NULL))
);
CREATE INDEX price_buckets_time_idx ON price_buckets USING brin (bucket);

-- What was decided, by whom, from what.
CREATE TABLE decisions (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    client_id        text NOT NULL CONSTRAINT decisions_client_fk REFERENCES clients ON DELETE CASCADE,
    agent_id         text NOT NULL CONSTRAINT decisions_agent_fk REFERENCES agents ON DELETE CASCADE,
    instance_id      text NOT NULL DEFAULT '',
    action           text NOT NULL, -- legacy word: stay_spot, stay_ondemand, switch_to_spot, switch_to_ondemand
    current_mode     text NOT NULL DEFAULT '',
    current_pool_id  text NOT NULL DEFAULT '',
    pool_id          text NOT NULL DEFAULT '',
    risk_score       numeric(5, 4) NOT NULL DEFAULT 0,
    expected_savings numeric(12, 6) NOT NULL DEFAULT 0, -- USD per hour
    confidence       numeric(4, 3) NOT NULL DEFAULT 0,
    reason           text NOT NULL DEFAULT '',
    vetoes           jsonb NOT NULL DEFAULT '[]',
    scores           jsonb NOT NULL DEFAULT '[]',
    inputs           jsonb NOT NULL DEFAULT '{}',
    engine           text NOT NULL,
    engine_version   text NOT NULL,
    shadow           boolean NOT NULL DEFAULT false,
    created_at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX decisions_agent_idx ON decisions (agent_id, id DESC);

-- +goose Down
DROP TABLE decisions, price_buckets, on_demand_prices, pool_prices, price_submissions;
