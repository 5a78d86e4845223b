-- +goose Up
-- The five-minute prices of each pool and hour as one row, so that a chart over a
-- week reads 168 rows of a pool and not 2,016. Sums are in millionths of a dollar.
CREATE TABLE price_hours (
    pool_id        text NOT NULL,
    hour           timestamptz NOT NULL, -- its start, in UTC
    known          int NOT NULL CONSTRAINT price_hours_known CHECK (known > 0), -- five-minute prices in the hour
    measured       int NOT NULL CONSTRAINT price_hours_measured CHECK (measured BETWEEN 0 AND known), -- those that are not interpolated
    price_sum      bigint NOT NULL CONSTRAINT price_hours_price_sum CHECK (price_sum > 0),
    ondemand_known int NOT NULL CONSTRAINT price_hours_ondemand_known CHECK (ondemand_known BETWEEN 0 AND known),
    ondemand_sum   bigint NOT NULL CONSTRAINT price_hours_ondemand_sum CHECK (ondemand_sum >= 0),
    CONSTRAINT price_hours_one_per_pool PRIMARY KEY (pool_id, hour)
) WITH (fillfactor = 80); -- the present hour is written again with each five minutes

-- roll_price_hours runs after every statement that writes buckets, in the same
-- transaction, and brings the hours of the changed buckets in line. It counts an hour
-- anew from its buckets and adds nothing up, so any order, repetition or deletion of
-- buckets leads to the same hour. An update that changes neither the prices nor the
-- source of a bucket changes no hour.
--
-- Transactions that change hours wait for each other. The statement that counts
-- begins after that wait, so it sees what the others have committed, and two writers
-- of different buckets of one hour never overwrite each other. The wait is the last
-- thing that a statement does, when it has all its locks of rows, so it cannot be part
-- of a deadlock.
-- +goose StatementBegin
CREATE FUNCTION roll_price_hours() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    pools text[];
    hours timestamptz[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(pool_id), array_agg(hour) INTO pools, hours
        FROM (SELECT DISTINCT pool_id, date_trunc('hour', bucket, 'UTC') AS hour FROM written) c;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(pool_id), array_agg(hour) INTO pools, hours
        FROM (SELECT DISTINCT pool_id, date_trunc('hour', bucket, 'UTC') AS hour FROM replaced) c;
    ELSE
        SELECT array_agg(pool_id), array_agg(hour) INTO pools, hours
        FROM (
            SELECT DISTINCT pool_id, date_trunc('hour', bucket, 'UTC') AS hour
            FROM replaced r
            FULL JOIN written w USING (pool_id, bucket)
            WHERE (r.price, r.ondemand_price, r.source_type) IS DISTINCT FROM (w.price, w.ondemand_price, w.source_type)) c;
    END IF;
    IF pools IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('price_hours'));
    WITH counted AS MATERIALIZED (
        SELECT h.pool_id, h.hour, c.known, c.measured, c.price_sum, c.ondemand_known, c.ondemand_sum
        FROM unnest(pools, hours) AS h(pool_id, hour)
        CROSS JOIN LATERAL (
            SELECT count(*) AS known, count(*) FILTER (WHERE b.source_type <> 'interpolated') AS measured, (sum(b.price) * 1e6)::bigint AS price_sum,
                count(b.ondemand_price) AS ondemand_known, (coalesce(sum(b.ondemand_price), 0) * 1e6)::bigint AS ondemand_sum
            FROM price_buckets b
            WHERE b.pool_id = h.pool_id AND b.bucket >= h.hour AND b.bucket < h.hour + interval '1 hour') c),
    emptied AS (
        DELETE FROM price_hours p
        USING counted c
        WHERE c.known = 0 AND p.pool_id = c.pool_id AND p.hour = c.hour)
    INSERT INTO price_hours AS p (pool_id, hour, known, measured, price_sum, ondemand_known, ondemand_sum)
    SELECT pool_id, hour, known, measured, price_sum, ondemand_known, ondemand_sum
    FROM counted
    WHERE known > 0
    ON CONFLICT (pool_id, hour) DO UPDATE SET known = excluded.known, measured = excluded.measured, price_sum = excluded.price_sum,
        ondemand_known = excluded.ondemand_known, ondemand_sum = excluded.ondemand_sum
    WHERE (p.known, p.measured, p.price_sum, p.ondemand_known, p.ondemand_sum)
        IS DISTINCT FROM (excluded.known, excluded.measured, excluded.price_sum, excluded.ondemand_known, excluded.ondemand_sum);
    RETURN NULL;
END $$;

CREATE FUNCTION empty_price_hours() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    TRUNCATE price_hours;
    RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE TRIGGER price_buckets_roll_inserted AFTER INSERT ON price_buckets
    REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION roll_price_hours();
CREATE TRIGGER price_buckets_roll_updated AFTER UPDATE ON price_buckets
    REFERENCING OLD TABLE AS replaced NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION roll_price_hours();
CREATE TRIGGER price_buckets_roll_deleted AFTER DELETE ON price_buckets
    REFERENCING OLD TABLE AS replaced
    FOR EACH STATEMENT EXECUTE FUNCTION roll_price_hours();
CREATE TRIGGER price_buckets_roll_emptied AFTER TRUNCATE ON price_buckets
    FOR EACH STATEMENT EXECUTE FUNCTION empty_price_hours();

-- +goose Down
DROP TRIGGER price_buckets_roll_emptied ON price_buckets;
DROP TRIGGER price_buckets_roll_deleted ON price_buckets;
DROP TRIGGER price_buckets_roll_updated ON price_buckets;
DROP TRIGGER price_buckets_roll_inserted ON price_buckets;
DROP FUNCTION empty_price_hours();
DROP FUNCTION roll_price_hours();
DROP TABLE price_hours;
