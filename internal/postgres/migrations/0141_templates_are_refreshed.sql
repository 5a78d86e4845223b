-- +goose Up
-- What a primary was launched with is read again in calm, and told when it changes.
ALTER TABLE launch_templates ADD COLUMN revision int NOT NULL DEFAULT 1;
ALTER TABLE launch_templates ADD COLUMN changed_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE launch_templates ADD CONSTRAINT launch_templates_revision CHECK (revision >= 1);

-- +goose Down
ALTER TABLE launch_templates DROP COLUMN changed_at;
ALTER TABLE launch_templates DROP COLUMN revision;
