-- +goose Up
-- The market that all clients share is EC2's: pools and prices that were read from it. What
-- agents report is evidence of their client, and counts for that client alone.

-- The latest report of a client about a pool, with what it is worth: it counts when it came
-- from a proven spot instance about its own pool, and is near EC2's price.
CREATE TABLE client_prices (
    client_id     text NOT NULL CONSTRAINT client_prices_client_fk REFERENCES clients ON DELETE CASCADE,
    pool_id       text NOT NULL,
    instance_type text NOT NULL,
    region        text NOT NULL,
    az            text NOT NULL,
    price         numeric(12, 6) NOT NULL CONSTRAINT client_prices_price_in_range CHECK (price > 0 AND price <= 10000),
    worth         text NOT NULL
        CONSTRAINT client_prices_worth CHECK (worth IN ('counts', 'unproven', 'other_pool', 'out_of_band')),
    agent_id      text NOT NULL,
    instance_id   text, -- null: the report did not say
    observed_at   timestamptz NOT NULL,
    CONSTRAINT client_prices_one_per_pool PRIMARY KEY (client_id, pool_id)
);

-- The five-minute prices of a client's own pools, merged from the reports that count.
CREATE TABLE client_price_buckets (
    client_id      text NOT NULL CONSTRAINT client_price_buckets_client_fk REFERENCES clients ON DELETE CASCADE,
    pool_id        text NOT NULL,
    bucket         timestamptz NOT NULL,
    price          numeric(12, 6) NOT NULL
        CONSTRAINT client_price_buckets_price_in_range CHECK (price > 0 AND price <= 10000),
    ondemand_price numeric(12, 6),
    source_type    text NOT NULL
        CONSTRAINT client_price_buckets_source CHECK (source_type IN ('primary', 'replica-manual', 'replica-automatic')),
    confidence     numeric(3, 2) NOT NULL CONSTRAINT client_price_buckets_confidence CHECK (confidence BETWEEN 0 AND 1),
    submission_id  text NOT NULL, -- the one that decided
    observed_at    timestamptz NOT NULL,
    low            numeric(12, 6) NOT NULL,
    high           numeric(12, 6) NOT NULL,
    discrepancy    numeric GENERATED ALWAYS AS ( -- largest difference of an equal as a share of the price, when above 10 %
        CASE WHEN greatest(high - price, price - low) > price * 0.10
            THEN round(greatest(high - price, price - low) / price, 4) END) STORED,
    updated_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT client_price_buckets_one_per_pool PRIMARY KEY (client_id, pool_id, bucket)
);
CREATE INDEX client_price_buckets_time_idx ON client_price_buckets USING brin (bucket);

-- What agents said before is evidence. What it had written into the market goes, with what
-- was derived from it, and the next collection reads again what EC2 knows of the past.
UPDATE price_submissions
SET evidence = true
WHERE NOT evidence
  AND agent_id IS NOT NULL;
DELETE FROM price_buckets WHERE source_type <> 'collector';
DELETE FROM pool_prices WHERE source_type <> 'collector';
DELETE FROM on_demand_prices WHERE source <> 'pricing-api';
DELETE FROM price_features f
WHERE NOT EXISTS (
    SELECT FROM price_buckets b
    WHERE b.pool_id = f.pool_id
      AND b.bucket = f.bucket);
DELETE FROM pools p
WHERE NOT EXISTS (SELECT FROM pool_prices x WHERE x.pool_id = p.id)
  AND NOT EXISTS (
    SELECT FROM instances i
    WHERE i.pool_id = p.id
      AND i.proof <> 'unproven');
DELETE FROM job_watermarks WHERE job IN ('price-collection', 'price-history');

ALTER TABLE price_buckets DROP CONSTRAINT price_buckets_source;
ALTER TABLE price_buckets ADD CONSTRAINT price_buckets_source CHECK (source_type IN ('collector', 'interpolated'));
ALTER TABLE pool_prices ADD CONSTRAINT pool_prices_source CHECK (source_type = 'collector');
ALTER TABLE on_demand_prices DROP CONSTRAINT on_demand_prices_source;
ALTER TABLE on_demand_prices ADD CONSTRAINT on_demand_prices_source CHECK (source = 'pricing-api');

-- +goose Down
ALTER TABLE on_demand_prices DROP CONSTRAINT on_demand_prices_source;
ALTER TABLE on_demand_prices ADD CONSTRAINT on_demand_prices_source CHECK (source IN ('pricing-api', 'agent'));
ALTER TABLE pool_prices DROP CONSTRAINT pool_prices_source;
ALTER TABLE price_buckets DROP CONSTRAINT price_buckets_source;
ALTER TABLE price_buckets ADD CONSTRAINT price_buckets_source
    CHECK (source_type IN ('primary', 'replica-manual', 'replica-automatic', 'collector', 'interpolated'));
DROP TABLE client_price_buckets, client_prices;
