-- +goose Up
-- What each worker last saw of the queues of AWS's events. A worker writes its rows anew
-- every few seconds; rows of workers that are gone are deleted after a day.
CREATE TABLE event_queues (
    queue       text NOT NULL, -- its address
    worker      text NOT NULL, -- process and host
    received_at timestamptz,   -- when SQS answered last
    waited_ms   bigint NOT NULL DEFAULT 0, -- of the last minute's messages, the longest time in the queue
    error       text NOT NULL DEFAULT '',  -- of the last receive; empty when SQS answered
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT event_queues_once PRIMARY KEY (queue, worker)
);

-- +goose Down
DROP TABLE event_queues;
