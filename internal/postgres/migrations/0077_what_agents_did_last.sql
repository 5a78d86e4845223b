-- +goose Up
-- What an agent decided and reported last, as one row of each: a page that lists
-- agents looked it up among the decisions and the submissions of all agents. Lists
-- are newest first.

-- The last five decisions of an agent that were not of an engine on trial. One that
-- said the same as the one before it is an entry of its own.
CREATE TABLE agent_decisions (
    agent_id text PRIMARY KEY CONSTRAINT agent_decisions_agent_fk REFERENCES agents ON DELETE CASCADE,
    at       timestamptz[] NOT NULL CONSTRAINT agent_decisions_some CHECK (cardinality(at) BETWEEN 1 AND 5),
    actions  text[] NOT NULL,
    modes    text[] NOT NULL,
    risks    float8[] NOT NULL,
    savings  float8[] NOT NULL, -- USD per hour
    CONSTRAINT agent_decisions_of_one_length CHECK (
        cardinality(actions) = cardinality(at) AND cardinality(modes) = cardinality(at)
        AND cardinality(risks) = cardinality(at) AND cardinality(savings) = cardinality(at))
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500); -- written again with every decision

-- The last reports of prices, at most 24. Prices are millionths of a dollar; spot is
-- that of the pool in which the agent lived, else the lowest.
CREATE TABLE agent_reports (
    agent_id  text PRIMARY KEY CONSTRAINT agent_reports_agent_fk REFERENCES agents ON DELETE CASCADE,
    at        timestamptz[] NOT NULL CONSTRAINT agent_reports_some CHECK (cardinality(at) BETWEEN 1 AND 24), -- when they arrived
    on_demand bigint[] NOT NULL, -- 0: not told
    spot      bigint[] NOT NULL,
    CONSTRAINT agent_reports_of_one_length CHECK (cardinality(on_demand) = cardinality(at) AND cardinality(spot) = cardinality(at))
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500); -- written again with every report

-- +goose Down
DROP TABLE agent_reports, agent_decisions;
