-- +goose Up
-- What each instance contributed to a client's month, in USD. The month's row is the sum of
-- its lines and nothing else.
CREATE TABLE savings_lines (
    client_id        text NOT NULL,
    month            date NOT NULL,
    instance_id      text NOT NULL,
    agent_id         text NOT NULL,
    agent            text NOT NULL, -- its name at that time
    instance_type    text NOT NULL,
    region           text NOT NULL,
    az               text NOT NULL,
    mode             text NOT NULL,
    seconds          numeric(14, 3) NOT NULL, -- it ran
    primary_seconds  numeric(14, 3) NOT NULL, -- of them, as its agent's primary
    unpriced_seconds numeric(14, 3) NOT NULL, -- of them, counted on neither side
    baseline         numeric(16, 6) NOT NULL, -- of the seconds as primary, on demand
    primary_cost     numeric(16, 6) NOT NULL,
    beside_cost      numeric(16, 6) NOT NULL, -- as a standby, or beside another in a move
    CONSTRAINT savings_lines_once PRIMARY KEY (client_id, month, instance_id),
    CONSTRAINT savings_lines_month_fk FOREIGN KEY (client_id, month) REFERENCES client_savings ON DELETE CASCADE
);

-- +goose Down
DROP TABLE savings_lines;
