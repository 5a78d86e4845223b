-- +goose Up
-- A decision that says the same as the one before it is counted on that row: ten
-- thousand agents that stay where they are made 2.9 million rows a day. What a row
-- says in numbers and words is what was said last. Rows from before were said once.
-- No row is rewritten or looked at here.
ALTER TABLE decisions
    ADD COLUMN repeats      int NOT NULL DEFAULT 1, -- how often it was said
    ADD COLUMN last_at      timestamptz, -- when it was said last; null: once, at created_at
    ADD COLUMN last_period  timestamptz, -- the last run of fleet-decisions that said it; null: period
    ADD COLUMN newest       boolean NOT NULL DEFAULT false, -- of its agent, source and shadow: the one that may be said again
    ADD COLUMN live_action  text NOT NULL DEFAULT '', -- of a shadow: what the live engine said in the same runs; empty: not known
    ADD COLUMN live_pool_id text NOT NULL DEFAULT '',
    ADD COLUMN live_regret  numeric(18, 6) NOT NULL DEFAULT 0, -- sum over these runs of what the live decision saved more, USD per hour
    ADD CONSTRAINT decisions_repeats CHECK (repeats >= 1) NOT VALID,
    ADD CONSTRAINT decisions_repeats_have_a_last_time CHECK ((repeats > 1) = (last_at IS NOT NULL)) NOT VALID,
    ADD CONSTRAINT decisions_repeats_have_a_last_period CHECK ((last_period IS NOT NULL) = (repeats > 1 AND period IS NOT NULL)) NOT VALID,
    ADD CONSTRAINT decisions_orders_do_not_repeat
        CHECK (repeats = 1 OR outcome NOT IN ('open', 'ordered') AND command_id IS NULL) NOT VALID;

-- +goose Down
ALTER TABLE decisions
    DROP CONSTRAINT decisions_orders_do_not_repeat,
    DROP CONSTRAINT decisions_repeats_have_a_last_period,
    DROP CONSTRAINT decisions_repeats_have_a_last_time,
    DROP CONSTRAINT decisions_repeats,
    DROP COLUMN live_regret,
    DROP COLUMN live_pool_id,
    DROP COLUMN live_action,
    DROP COLUMN newest,
    DROP COLUMN last_period,
    DROP COLUMN last_at,
    DROP COLUMN repeats;
