-- +goose Up
-- What scheduled jobs keep, and what makes their work the same in any order.

-- Bounds of all prices from sources as good as the one that decided. With them a
-- bucket is a merge that forgets nothing: any order and repetition of
-- submissions leads to the same row.
ALTER TABLE price_buckets
    ADD COLUMN low numeric(12, 6),
    ADD COLUMN high numeric(12, 6),
    DROP COLUMN discrepancy;
ALTER TABLE price_buckets
    ADD COLUMN discrepancy numeric GENERATED ALWAYS AS ( -- largest difference of an equal as a share of the price, when above 10 %
        CASE WHEN greatest(high - price, price - low) > price * 0.10 THEN round(greatest(high - price, price - low) / price, 4) END) STORED;
CREATE INDEX price_buckets_updated_idx ON price_buckets USING brin (updated_at);
CREATE INDEX price_buckets_discrepant_idx ON price_buckets (bucket) WHERE discrepancy IS NOT NULL;

-- Buckets are merged as reports come, so nothing looks submissions up by bucket.
DROP INDEX price_submissions_bucket_idx;

-- How far a job has come, so that an outage loses nothing.
CREATE TABLE job_watermarks (
    job        text NOT NULL,
    scope      text NOT NULL DEFAULT '', -- a region and type, where a job has many
    at         timestamptz NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job, scope)
);

-- What models learn from: measured prices and what they did before.
CREATE TABLE price_features (
    pool_id          text NOT NULL,
    bucket           timestamptz NOT NULL,
    price            numeric(12, 6) NOT NULL,
    ondemand_price   numeric(12, 6),
    savings_percent  numeric(7, 2),
    confidence       numeric(3, 2) NOT NULL,
    hour             smallint NOT NULL,
    weekday          smallint NOT NULL, -- 1 is Monday
    day              smallint NOT NULL,
    month            smallint NOT NULL,
    year             smallint NOT NULL,
    price_change_1h  numeric(12, 6), -- null: nobody knows the price then
    price_change_24h numeric(12, 6),
    price_stddev_6h  numeric(12, 6),
    price_rank       int NOT NULL, -- 1 is the cheapest pool of the type in the region
    PRIMARY KEY (pool_id, bucket)
);
CREATE INDEX price_features_bucket_idx ON price_features USING brin (bucket);

-- +goose Down
DROP TABLE price_features, job_watermarks;
CREATE INDEX price_submissions_bucket_idx ON price_submissions (pool_id, bucket);
DROP INDEX price_buckets_discrepant_idx, price_buckets_updated_idx;
ALTER TABLE price_buckets DROP COLUMN discrepancy;
ALTER TABLE price_buckets DROP COLUMN low, DROP COLUMN high, ADD COLUMN discrepancy numeric(6, 4);
