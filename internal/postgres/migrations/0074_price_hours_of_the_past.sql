-- +goose NO TRANSACTION
-- +goose Up
-- Hours of the prices that were there before. Charts reach back at most ninety days,
-- so that is what is counted; an older hour gets its row when one of its buckets
-- changes. Each pool is a transaction of its own, so writers of prices wait for
-- milliseconds. A second run counts the same.
-- +goose StatementBegin
DO $$
DECLARE
    pool text;
BEGIN
    FOR pool IN SELECT id FROM pools ORDER BY id LOOP
        PERFORM pg_advisory_xact_lock(hashtext('price_hours'));
        INSERT INTO price_hours AS p (pool_id, hour, known, measured, price_sum, ondemand_known, ondemand_sum)
        SELECT pool, date_trunc('hour', bucket, 'UTC'), count(*), count(*) FILTER (WHERE source_type <> 'interpolated'), (sum(price) * 1e6)::bigint,
            count(ondemand_price), (coalesce(sum(ondemand_price), 0) * 1e6)::bigint
        FROM price_buckets
        WHERE pool_id = pool AND bucket >= date_trunc('hour', now(), 'UTC') - interval '91 days'
        GROUP BY 2
        ON CONFLICT (pool_id, hour) DO UPDATE SET known = excluded.known, measured = excluded.measured, price_sum = excluded.price_sum,
            ondemand_known = excluded.ondemand_known, ondemand_sum = excluded.ondemand_sum;
        COMMIT;
    END LOOP;
END $$;
-- +goose StatementEnd

-- +goose Down
SELECT 1;
