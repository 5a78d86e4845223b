-- +goose Up
-- Uploaded models and engines, and how they earn their way.

CREATE TABLE model_sessions (
    id           text PRIMARY KEY,
    kind         text NOT NULL CONSTRAINT model_sessions_kind CHECK (kind IN ('models', 'engine')),
    state        text NOT NULL DEFAULT 'uploaded' CONSTRAINT model_sessions_state CHECK (state IN ('uploaded', 'active', 'archived', 'refused')),
    is_live      boolean NOT NULL DEFAULT false,
    is_fallback  boolean NOT NULL DEFAULT false,
    runner       text NOT NULL DEFAULT '', -- known from its validation on
    version      text NOT NULL DEFAULT '', -- what its decisions are recorded under
    uploaded_by  text NOT NULL DEFAULT '',
    error_code   text NOT NULL DEFAULT '',
    error        text NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    activated_at timestamptz,
    CONSTRAINT model_sessions_live_or_fallback CHECK (NOT (is_live AND is_fallback)),
    CONSTRAINT model_sessions_serving_is_active CHECK ((is_live OR is_fallback) = (state = 'active')),
    CONSTRAINT model_sessions_live_has_time CHECK (NOT is_live OR activated_at IS NOT NULL)
);
CREATE UNIQUE INDEX model_sessions_one_live ON model_sessions (kind) WHERE is_live;
CREATE UNIQUE INDEX model_sessions_one_fallback ON model_sessions (kind) WHERE is_fallback;
CREATE INDEX model_sessions_created_idx ON model_sessions (kind, created_at DESC);

CREATE TABLE model_session_files (
    session_id text NOT NULL CONSTRAINT model_session_files_session_fk REFERENCES model_sessions ON DELETE CASCADE,
    position   int NOT NULL, -- as they were uploaded
    name       text NOT NULL CONSTRAINT model_session_files_name CHECK (length(name) BETWEEN 1 AND 200),
    digest     text NOT NULL CONSTRAINT model_session_files_digest CHECK (digest ~ '^[0-9a-f]{64}$'), -- SHA-256; with the session, where the content is
    size       bigint NOT NULL CONSTRAINT model_session_files_size CHECK (size >= 0),
    PRIMARY KEY (session_id, name)
);

-- One row per session: a session that is rolled out again begins its row anew.
CREATE TABLE model_rollouts (
    session_id  text PRIMARY KEY CONSTRAINT model_rollouts_session_fk REFERENCES model_sessions ON DELETE CASCADE,
    plan        jsonb NOT NULL, -- mlmodel.Plan
    phase       text NOT NULL DEFAULT 'validating'
        CONSTRAINT model_rollouts_phase CHECK (phase IN ('validating', 'shadow', 'canary', 'live', 'completed', 'aborted', 'rolled_back', 'refused')),
    percent     int NOT NULL DEFAULT 0 CONSTRAINT model_rollouts_percent CHECK (percent BETWEEN 0 AND 100),
    paused      boolean NOT NULL DEFAULT false,
    detail      text NOT NULL DEFAULT '', -- one sentence for people
    started_by  text NOT NULL DEFAULT '',
    previous_id text CONSTRAINT model_rollouts_previous_fk REFERENCES model_sessions ON DELETE SET NULL, -- what was live before
    displaced_id text CONSTRAINT model_rollouts_displaced_fk REFERENCES model_sessions ON DELETE SET NULL, -- what was the fallback before
    validation  jsonb NOT NULL DEFAULT '{}',
    readings    jsonb NOT NULL DEFAULT '{}', -- what the guards saw last
    timeline    jsonb NOT NULL DEFAULT '[]',
    error_code  text NOT NULL DEFAULT '',
    error       text NOT NULL DEFAULT '',
    started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    stage_since timestamptz,
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at    timestamptz,
    CONSTRAINT model_rollouts_ended_has_time CHECK ((phase IN ('completed', 'aborted', 'rolled_back', 'refused')) = (ended_at IS NOT NULL)),
    CONSTRAINT model_rollouts_percent_fits CHECK (CASE phase WHEN 'live' THEN percent = 100 WHEN 'canary' THEN percent BETWEEN 1 AND 99 WHEN 'shadow' THEN percent = 0 ELSE true END)
);
CREATE UNIQUE INDEX model_rollouts_one_open ON model_rollouts ((true)) WHERE ended_at IS NULL; -- two at once could not be told apart by their effects
CREATE INDEX model_rollouts_started_idx ON model_rollouts (started_at DESC);

-- +goose Down
DROP TABLE model_rollouts, model_session_files, model_sessions;
