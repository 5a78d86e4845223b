-- +goose Up
-- The processes connect as a role that changes no table. Partitions are made and dropped by
-- functions with the rights of the schema's owner, which can do nothing else.

-- +goose StatementBegin
-- Makes the partition of price submissions for a day in UTC, and moves what is of that day
-- out of the default one. False: the day has one.
CREATE FUNCTION make_price_partition(day date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    name  text := 'price_submissions_' || to_char(day, 'YYYYMMDD');
    lower text := to_char(day, 'YYYY-MM-DD') || ' 00:00:00+00';
    upper text := to_char(day + 1, 'YYYY-MM-DD') || ' 00:00:00+00';
BEGIN
    IF to_regclass(name) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- One maker at a time; readers and writers go on. Who waited looks again.
    LOCK TABLE price_submissions IN SHARE UPDATE EXCLUSIVE MODE;
    IF to_regclass(name) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE price_submissions INCLUDING ALL)', name);
    -- From here to the commit reporters wait: the move and the attachment of a few rows.
    LOCK TABLE price_submissions_default IN ACCESS EXCLUSIVE MODE;
    EXECUTE format(
        'WITH moved AS (
            DELETE FROM price_submissions_default WHERE observed_at >= %L::timestamptz AND observed_at < %L::timestamptz
            RETURNING *)
        INSERT INTO %I SELECT * FROM moved', lower, upper, name);
    EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I CHECK (observed_at >= %L::timestamptz AND observed_at < %L::timestamptz)',
        name, name || '_bounds', lower, upper);
    EXECUTE format('ALTER TABLE price_submissions ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, lower, upper);
    EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I', name, name || '_bounds');
    RETURN true;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Drops the partition of price submissions for a day in UTC. False: the day has none.
CREATE FUNCTION drop_price_partition(day date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    name text := 'price_submissions_' || to_char(day, 'YYYYMMDD');
BEGIN
    IF to_regclass(name) IS NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('DROP TABLE %I', name);
    RETURN true;
END
$$;
-- +goose StatementEnd
-- What a caller puts into its temporary schema is found last.
-- +goose StatementBegin
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION make_price_partition(date) SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION drop_price_partition(date) SET search_path = %I, pg_temp', current_schema());
END
$$;
-- +goose StatementEnd
REVOKE EXECUTE ON FUNCTION make_price_partition(date), drop_price_partition(date) FROM PUBLIC;

-- +goose Down
DROP FUNCTION make_price_partition(date), drop_price_partition(date);
