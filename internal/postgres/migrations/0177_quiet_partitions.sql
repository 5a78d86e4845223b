-- +goose Up
-- +goose StatementBegin
-- Keeps autovacuum away from the partition of price submissions for a day in UTC, which is
-- about to be dropped. An autovacuum that is at work makes way, after the server's
-- deadlock_timeout. The lock that this asks for stands in the way of other maintenance
-- only. False: the day has none.
CREATE FUNCTION quiet_price_partition(day date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    name text := 'price_submissions_' || to_char(day, 'YYYYMMDD');
BEGIN
    IF to_regclass(name) IS NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('ALTER TABLE %I SET (autovacuum_enabled = off, toast.autovacuum_enabled = off)', name);
    RETURN true;
END
$$;
-- +goose StatementEnd
-- What a caller puts into its temporary schema is found last.
-- +goose StatementBegin
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION quiet_price_partition(date) SET search_path = %I, pg_temp', current_schema());
END
$$;
-- +goose StatementEnd
REVOKE EXECUTE ON FUNCTION quiet_price_partition(date) FROM PUBLIC;

-- +goose Down
DROP FUNCTION quiet_price_partition(date);
