-- +goose Up
-- Operators' sessions that were ended before their time, and the ways on which
-- notifications leave the building.

CREATE TABLE ended_sessions (
    id         text PRIMARY KEY,
    expires_at timestamptz NOT NULL -- the cookie is good for nothing after it
);

CREATE TABLE notification_sinks (
    id            text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    client_id     text NOT NULL CONSTRAINT notification_sinks_client_fk REFERENCES clients ON DELETE CASCADE,
    kind          text NOT NULL CONSTRAINT notification_sinks_kind CHECK (kind IN ('webhook', 'log')),
    url           text NOT NULL DEFAULT '' CONSTRAINT notification_sinks_url_length CHECK (length(url) <= 2048),
    secret_sealed bytea, -- AES-GCM: every delivery is signed with it
    min_severity  text NOT NULL CONSTRAINT notification_sinks_severity CHECK (min_severity IN ('info', 'warning', 'error', 'critical')),
    failures      int NOT NULL DEFAULT 0, -- in a row
    retry_after   timestamptz,
    last_error    text,
    last_failed_at    timestamptz,
    last_delivered_at timestamptz,
    created_by    text NOT NULL DEFAULT '',
    created_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT notification_sinks_webhook_is_whole CHECK (kind <> 'webhook' OR url <> '' AND secret_sealed IS NOT NULL)
);
CREATE INDEX notification_sinks_client_idx ON notification_sinks (client_id, created_at);

-- One row per notification and sink: its id is what the receiver tells a
-- repetition by.
CREATE TABLE notification_deliveries (
    id              text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    sink_id         text NOT NULL CONSTRAINT notification_deliveries_sink_fk REFERENCES notification_sinks ON DELETE CASCADE,
    notification_id text NOT NULL CONSTRAINT notification_deliveries_notification_fk REFERENCES notifications ON DELETE CASCADE,
    state           text NOT NULL DEFAULT 'pending' CONSTRAINT notification_deliveries_state CHECK (state IN ('pending', 'delivered', 'abandoned')),
    attempts        int NOT NULL DEFAULT 0,
    next_at         timestamptz NOT NULL DEFAULT now(),
    error           text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    ended_at        timestamptz,
    CONSTRAINT notification_deliveries_once UNIQUE (sink_id, notification_id),
    CONSTRAINT notification_deliveries_ended_has_time CHECK ((state = 'pending') = (ended_at IS NULL))
);
CREATE INDEX notification_deliveries_due_idx ON notification_deliveries (sink_id, next_at) WHERE state = 'pending';
CREATE INDEX notification_deliveries_notification_idx ON notification_deliveries (notification_id);

-- +goose Down
DROP TABLE notification_deliveries, notification_sinks, ended_sessions;
