-- +goose Up
-- What each pool costs with a product that is not Linux, as it is in force. It is read
-- wherever prices are compared, so it does not grow with the history of prices.
CREATE TABLE product_pool_prices (
    pool_id text NOT NULL,
    product text NOT NULL,
    price   numeric(12, 6) NOT NULL CONSTRAINT product_pool_prices_in_range CHECK (price > 0 AND price <= 10000),
    at      timestamptz NOT NULL, -- since when it is in force
    CONSTRAINT product_pool_prices_once PRIMARY KEY (pool_id, product)
);

INSERT INTO product_pool_prices (pool_id, product, price, at)
SELECT DISTINCT ON (pool_id, product) pool_id, product, price, at
FROM product_spot_prices
ORDER BY pool_id, product, at DESC;

-- +goose Down
DROP TABLE product_pool_prices;
