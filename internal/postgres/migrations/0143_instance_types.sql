-- +goose Up
-- What EC2 says of its instance types, by region. An agent may be replaced by any type that
-- meets its requirements.
CREATE TABLE instance_types (
    region        text NOT NULL,
    name          text NOT NULL,
    vcpus         int NOT NULL CONSTRAINT instance_types_vcpus CHECK (vcpus > 0),
    memory_mib    int NOT NULL CONSTRAINT instance_types_memory CHECK (memory_mib > 0),
    architectures text[] NOT NULL,
    burstable     boolean NOT NULL DEFAULT false,
    accelerators  int NOT NULL DEFAULT 0,
    local_gb      int NOT NULL DEFAULT 0,
    current       boolean NOT NULL DEFAULT true,
    bare_metal    boolean NOT NULL DEFAULT false,
    refreshed_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT instance_types_key PRIMARY KEY (region, name)
);
ALTER TABLE agents ADD COLUMN requirements jsonb NOT NULL DEFAULT '{}';
ALTER TABLE agents ADD CONSTRAINT agents_requirements CHECK (jsonb_typeof(requirements) = 'object');
ALTER TABLE clients ADD COLUMN requirements jsonb NOT NULL DEFAULT '{}';
ALTER TABLE clients ADD CONSTRAINT clients_requirements CHECK (jsonb_typeof(requirements) = 'object');

-- +goose Down
ALTER TABLE clients DROP COLUMN requirements;
ALTER TABLE agents DROP COLUMN requirements;
DROP TABLE instance_types;
