-- +goose Up
-- A notice comes through several doors. The row names the first one (door, received_at)
-- and the second one that it came through.
ALTER TABLE notices
    ADD COLUMN second_door text NOT NULL DEFAULT '',
    ADD COLUMN second_at timestamptz,
    ADD COLUMN second_arrival int, -- its number among the arrivals
    ADD CONSTRAINT notices_second_door CHECK (second_door IN ('', 'http', 'eventbridge', 'sweep') AND second_door <> door),
    ADD CONSTRAINT notices_second_door_has_time CHECK ((second_door = '') = (second_at IS NULL) AND (second_at IS NULL) = (second_arrival IS NULL));

-- +goose Down
ALTER TABLE notices
    DROP CONSTRAINT notices_second_door_has_time,
    DROP CONSTRAINT notices_second_door,
    DROP COLUMN second_arrival,
    DROP COLUMN second_at,
    DROP COLUMN second_door;
