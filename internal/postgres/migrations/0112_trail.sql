-- +goose Up
-- The trail: every event, intents and refusals too, in a table that only grows. Seals chain
-- the entries by their hashes, so that one that was changed or taken away shows. It has no
-- references: it outlives what it is about.

ALTER TABLE events
    ADD COLUMN actor_kind text NOT NULL DEFAULT '',
    ADD COLUMN actor_id   text NOT NULL DEFAULT '',
    ADD COLUMN token_id   text NOT NULL DEFAULT '',
    ADD COLUMN address    text NOT NULL DEFAULT '',
    ADD COLUMN request_id text NOT NULL DEFAULT '';

CREATE TABLE trail (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    client_id  text NOT NULL DEFAULT '',
    agent_id   text NOT NULL DEFAULT '',
    type       text NOT NULL CONSTRAINT trail_type_length CHECK (length(type) BETWEEN 1 AND 100),
    outcome    text NOT NULL CONSTRAINT trail_outcome CHECK (outcome IN ('done', 'intent', 'refused', 'failed')),
    actor      text NOT NULL,
    actor_kind text NOT NULL DEFAULT '',
    actor_id   text NOT NULL DEFAULT '',
    token_id   text NOT NULL DEFAULT '',
    address    text NOT NULL DEFAULT '',
    request_id text NOT NULL DEFAULT '',
    message    text NOT NULL,
    details    jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX trail_at_idx ON trail USING brin (at);
CREATE INDEX trail_client_idx ON trail (client_id, id DESC);

CREATE TABLE trail_seals (
    day      date NOT NULL, -- of the sealing, in UTC
    place    int NOT NULL CONSTRAINT trail_seals_place CHECK (place > 0),
    entry_id bigint NOT NULL CONSTRAINT trail_seals_entry_key UNIQUE,
    prev     bytea NOT NULL CONSTRAINT trail_seals_prev_key UNIQUE,
    hash     bytea NOT NULL CONSTRAINT trail_seals_hash_key UNIQUE,
    PRIMARY KEY (day, place)
);
-- Which entries have no seal is found without looking at those that have one.
CREATE TABLE trail_unsealed (entry_id bigint PRIMARY KEY);

-- +goose StatementBegin
CREATE FUNCTION trail_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF TG_TABLE_NAME = 'trail' AND (to_jsonb(OLD)->>'at')::timestamptz < now() - interval '400 days' THEN
            RETURN OLD;
        END IF;
        IF TG_TABLE_NAME = 'trail_seals' AND (to_jsonb(OLD)->>'day')::date < (now() AT TIME ZONE 'UTC')::date - 400 THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION '% only grows', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER trail_only_grows BEFORE UPDATE OR DELETE ON trail FOR EACH ROW EXECUTE FUNCTION trail_only_grows();
CREATE TRIGGER trail_is_not_emptied BEFORE TRUNCATE ON trail FOR EACH STATEMENT EXECUTE FUNCTION trail_only_grows();
CREATE TRIGGER trail_seals_only_grow BEFORE UPDATE OR DELETE ON trail_seals FOR EACH ROW EXECUTE FUNCTION trail_only_grows();
CREATE TRIGGER trail_seals_are_not_emptied BEFORE TRUNCATE ON trail_seals FOR EACH STATEMENT EXECUTE FUNCTION trail_only_grows();

-- +goose StatementBegin
CREATE FUNCTION trail_takes_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO trail (client_id, agent_id, type, outcome, actor, actor_kind, actor_id, token_id, address, request_id, message, details)
    VALUES (coalesce(NEW.client_id, ''), coalesce(NEW.agent_id, ''), NEW.type,
            CASE WHEN NEW.type = 'auth_failed' THEN 'refused' ELSE 'done' END, NEW.actor,
            NEW.actor_kind, NEW.actor_id, NEW.token_id, NEW.address, NEW.request_id, NEW.message, NEW.metadata);
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER trail_takes_events AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION trail_takes_events();

-- +goose StatementBegin
CREATE FUNCTION trail_wants_a_seal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO trail_unsealed (entry_id) VALUES (NEW.id);
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER trail_wants_a_seal AFTER INSERT ON trail FOR EACH ROW EXECUTE FUNCTION trail_wants_a_seal();

-- +goose Down
DROP TRIGGER trail_takes_events ON events;
DROP TABLE trail_unsealed, trail_seals, trail;
DROP FUNCTION trail_takes_events(), trail_wants_a_seal(), trail_only_grows();
ALTER TABLE events
    DROP COLUMN actor_kind, DROP COLUMN actor_id, DROP COLUMN token_id, DROP COLUMN address, DROP COLUMN request_id;
