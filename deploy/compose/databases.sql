-- Databases and the roles that log in to them, made with the cluster. What the roles may do in Spotkeeper's
-- database is in deploy/postgres/roles.sql.
\getenv migrate MIGRATE_PASSWORD
\getenv app APP_PASSWORD
\getenv temporal TEMPORAL_PASSWORD
\getenv roles ROLES_FILE

CREATE ROLE spotkeeper_migrate LOGIN PASSWORD :'migrate';
CREATE ROLE spotkeeper_app LOGIN PASSWORD :'app';
CREATE ROLE temporal LOGIN PASSWORD :'temporal';
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
CREATE DATABASE spotkeeper;
REVOKE CONNECT ON DATABASE spotkeeper, temporal, temporal_visibility FROM PUBLIC;
GRANT CONNECT ON DATABASE spotkeeper TO spotkeeper_migrate, spotkeeper_app;

\connect temporal_visibility
CREATE EXTENSION IF NOT EXISTS btree_gin;

\connect spotkeeper
\i :roles
