-- +goose Up
-- What an instance runs and what its volumes are, as its agent's description says. They are
-- kept with the instance, because the description changes.
ALTER TABLE instances
    ADD COLUMN product text NOT NULL DEFAULT '', -- Linux/UNIX, Windows, …; empty: not known
    ADD COLUMN volumes jsonb NOT NULL DEFAULT '{}'; -- GiB by type of volume

-- The currency of a region's prices: USD, or CNY in China.
ALTER TABLE on_demand_prices ADD COLUMN currency text NOT NULL DEFAULT 'USD';

-- List prices of what is not Linux.
CREATE TABLE product_prices (
    region        text NOT NULL,
    instance_type text NOT NULL,
    product       text NOT NULL,
    price         numeric(12, 6) NOT NULL CONSTRAINT product_prices_in_range CHECK (price > 0 AND price <= 10000),
    currency      text NOT NULL,
    observed_at   timestamptz NOT NULL,
    CONSTRAINT product_prices_once PRIMARY KEY (region, instance_type, product)
);

-- Spot prices of what is not Linux: since when each is in force.
CREATE TABLE product_spot_prices (
    pool_id text NOT NULL,
    product text NOT NULL,
    at      timestamptz NOT NULL,
    price   numeric(12, 6) NOT NULL CONSTRAINT product_spot_prices_in_range CHECK (price > 0 AND price <= 10000),
    CONSTRAINT product_spot_prices_once PRIMARY KEY (pool_id, product, at)
);

-- What a GB of a volume costs for a month.
CREATE TABLE volume_prices (
    region      text NOT NULL,
    kind        text NOT NULL,
    gb_month    numeric(12, 6) NOT NULL CONSTRAINT volume_prices_in_range CHECK (gb_month > 0),
    currency    text NOT NULL,
    observed_at timestamptz NOT NULL,
    CONSTRAINT volume_prices_once PRIMARY KEY (region, kind)
);

ALTER TABLE client_savings ADD COLUMN currency text NOT NULL DEFAULT 'USD';
ALTER TABLE savings_lines
    ADD COLUMN product text NOT NULL DEFAULT 'Linux/UNIX',
    ADD COLUMN currency text NOT NULL DEFAULT 'USD',
    ADD COLUMN volume_cost numeric(16, 6) NOT NULL DEFAULT 0; -- of its volumes, for the seconds beside

-- +goose Down
ALTER TABLE savings_lines DROP COLUMN product, DROP COLUMN currency, DROP COLUMN volume_cost;
ALTER TABLE client_savings DROP COLUMN currency;
DROP TABLE volume_prices;
DROP TABLE product_spot_prices;
DROP TABLE product_prices;
ALTER TABLE on_demand_prices DROP COLUMN currency;
ALTER TABLE instances DROP COLUMN product, DROP COLUMN volumes;
