-- +goose Up
-- The largest types are listed above 200 USD per hour. The bound keeps nonsense out, and is
-- that of pricing.MaxPrice.
ALTER TABLE price_submissions DROP CONSTRAINT price_submissions_price_in_range;
ALTER TABLE price_submissions ADD CONSTRAINT price_submissions_price_in_range CHECK (price > 0 AND price <= 10000);
ALTER TABLE price_submissions DROP CONSTRAINT price_submissions_ondemand_in_range;
ALTER TABLE price_submissions ADD CONSTRAINT price_submissions_ondemand_in_range CHECK (ondemand_price > 0 AND ondemand_price <= 10000);
ALTER TABLE pool_prices DROP CONSTRAINT pool_prices_price_in_range;
ALTER TABLE pool_prices ADD CONSTRAINT pool_prices_price_in_range CHECK (price > 0 AND price <= 10000);
ALTER TABLE on_demand_prices DROP CONSTRAINT on_demand_prices_in_range;
ALTER TABLE on_demand_prices ADD CONSTRAINT on_demand_prices_in_range CHECK (price > 0 AND price <= 10000);
ALTER TABLE price_buckets DROP CONSTRAINT price_buckets_price_in_range;
ALTER TABLE price_buckets ADD CONSTRAINT price_buckets_price_in_range CHECK (price > 0 AND price <= 10000);

-- +goose Down
ALTER TABLE price_buckets DROP CONSTRAINT price_buckets_price_in_range;
ALTER TABLE price_buckets ADD CONSTRAINT price_buckets_price_in_range CHECK (price > 0 AND price <= 100) NOT VALID;
ALTER TABLE on_demand_prices DROP CONSTRAINT on_demand_prices_in_range;
ALTER TABLE on_demand_prices ADD CONSTRAINT on_demand_prices_in_range CHECK (price > 0 AND price <= 100) NOT VALID;
ALTER TABLE pool_prices DROP CONSTRAINT pool_prices_price_in_range;
ALTER TABLE pool_prices ADD CONSTRAINT pool_prices_price_in_range CHECK (price > 0 AND price <= 100) NOT VALID;
ALTER TABLE price_submissions DROP CONSTRAINT price_submissions_ondemand_in_range;
ALTER TABLE price_submissions ADD CONSTRAINT price_submissions_ondemand_in_range CHECK (ondemand_price > 0 AND ondemand_price <= 100) NOT VALID;
ALTER TABLE price_submissions DROP CONSTRAINT price_submissions_price_in_range;
ALTER TABLE price_submissions ADD CONSTRAINT price_submissions_price_in_range CHECK (price > 0 AND price <= 100) NOT VALID;
