-- Two roles for one database: spotkeeper_migrate owns the schema and changes it, and
-- spotkeeper_app is what the api and the worker connect as: it reads and writes rows, changes no
-- table, and cannot rewrite what has happened (events, and the trail).
--
--   psql "$ADMIN_URL" -f deploy/postgres/roles.sql          once, in the database, as its administrator
--   psql "$ADMIN_URL" -c '\password spotkeeper_migrate' -c '\password spotkeeper_app'
--   DATABASE_URL=postgres://spotkeeper_migrate:…  spotkeeper-worker migrate
--   psql "$ADMIN_URL" -f deploy/postgres/roles.sql          again: now there are tables
--   DATABASE_URL=postgres://spotkeeper_app:…      spotkeeper-worker, spotkeeper-api
--
-- A database that was made by another role is handed over first:
--   REASSIGN OWNED BY that_role TO spotkeeper_migrate;
-- It may be run again at any time. Later migrations need it only when it changed.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'spotkeeper_migrate') THEN
        CREATE ROLE spotkeeper_migrate LOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'spotkeeper_app') THEN
        CREATE ROLE spotkeeper_app LOGIN;
    END IF;
END
$$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO spotkeeper_migrate;
GRANT USAGE ON SCHEMA public TO spotkeeper_app;

-- What there is, and what spotkeeper_migrate will make.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO spotkeeper_app;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO spotkeeper_app;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO spotkeeper_app;
ALTER DEFAULT PRIVILEGES FOR ROLE spotkeeper_migrate IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO spotkeeper_app;
ALTER DEFAULT PRIVILEGES FOR ROLE spotkeeper_migrate IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO spotkeeper_app;
ALTER DEFAULT PRIVILEGES FOR ROLE spotkeeper_migrate IN SCHEMA public
    GRANT EXECUTE ON FUNCTIONS TO spotkeeper_app;

-- Events and the trail only grow. What is old is deleted; triggers say how old.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['events', 'trail', 'trail_seals'] LOOP
        IF to_regclass('public.' || name) IS NOT NULL THEN
            EXECUTE format('REVOKE UPDATE ON public.%I FROM spotkeeper_app', name);
        END IF;
    END LOOP;
    IF to_regclass('public.goose_db_version') IS NOT NULL THEN
        REVOKE INSERT, UPDATE, DELETE ON public.goose_db_version FROM spotkeeper_app;
    END IF;
END
$$;
