-- The roles of the database, made with it.
\getenv owner OWNER_PASSWORD
\getenv app APP_PASSWORD
\getenv temporal TEMPORAL_PASSWORD

-- Owner of the schema: migrations, and the worker, which makes and drops partitions.
CREATE ROLE spotkeeper_owner LOGIN PASSWORD :'owner';
-- The api: it reads and writes rows, and cannot change the schema.
CREATE ROLE spotkeeper_app LOGIN PASSWORD :'app';
CREATE ROLE temporal LOGIN PASSWORD :'temporal';
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
CREATE DATABASE spotkeeper OWNER spotkeeper_owner;
REVOKE CONNECT ON DATABASE spotkeeper, temporal, temporal_visibility FROM PUBLIC;
GRANT CONNECT ON DATABASE spotkeeper TO spotkeeper_app;

\connect temporal_visibility
CREATE EXTENSION IF NOT EXISTS btree_gin;

\connect spotkeeper
REVOKE ALL ON SCHEMA public FROM PUBLIC;
ALTER SCHEMA public OWNER TO spotkeeper_owner;
GRANT USAGE ON SCHEMA public TO spotkeeper_app;
ALTER DEFAULT PRIVILEGES FOR ROLE spotkeeper_owner IN SCHEMA public
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO spotkeeper_app;
ALTER DEFAULT PRIVILEGES FOR ROLE spotkeeper_owner IN SCHEMA public
GRANT USAGE, SELECT ON SEQUENCES TO spotkeeper_app;
