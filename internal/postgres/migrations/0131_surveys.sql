-- +goose Up
-- When the instances of a place were last asked for at EC2, so that several workers
-- share the places out. A place is a region of a client's account, or of the control
-- plane's own, whose client is ''. Without a row a place was never asked for.
CREATE TABLE surveys (
    client_id   text NOT NULL,
    region      text NOT NULL,
    surveyed_at timestamptz NOT NULL,
    CONSTRAINT surveys_once PRIMARY KEY (client_id, region)
);

ALTER TABLE notices
    DROP CONSTRAINT notices_door,
    ADD CONSTRAINT notices_door CHECK (door IN ('http', 'eventbridge', 'describe', 'sweep')),
    DROP CONSTRAINT notices_second_door,
    ADD CONSTRAINT notices_second_door CHECK (second_door IN ('', 'http', 'eventbridge', 'describe', 'sweep') AND second_door <> door);

-- +goose Down
UPDATE notices SET door = 'sweep' WHERE door = 'describe';
UPDATE notices SET second_door = '', second_at = NULL, second_arrival = NULL WHERE second_door IN ('describe', door);
ALTER TABLE notices
    DROP CONSTRAINT notices_door,
    ADD CONSTRAINT notices_door CHECK (door IN ('http', 'eventbridge', 'sweep')),
    DROP CONSTRAINT notices_second_door,
    ADD CONSTRAINT notices_second_door CHECK (second_door IN ('', 'http', 'eventbridge', 'sweep') AND second_door <> door);
DROP TABLE surveys;
