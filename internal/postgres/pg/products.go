package pg

// SpotPrices is a relation of what each pool costs with each product: pool_id, product, price,
// observed_at. Choices, decisions and pages join it by what an instance runs. The spot price of a
// product that is not Linux is in force until another is known, so it was seen when the product
// was collected last.
const SpotPrices = `(
	SELECT pool_id, 'Linux/UNIX'::text AS product, price, observed_at
	FROM pool_prices
	UNION ALL
	SELECT s.pool_id, s.product, s.price, greatest(s.at, w.at)
	FROM product_pool_prices s
	LEFT JOIN pools p ON p.id = s.pool_id
	LEFT JOIN job_watermarks w ON w.job = 'product-prices'
		AND w.scope = p.region || '/' || p.instance_type || '/' || s.product)`

// ListPrices is a relation of what each type costs on demand with each product: region,
// instance_type, product, price, observed_at.
const ListPrices = `(
	SELECT region, instance_type, 'Linux/UNIX'::text AS product, price, observed_at
	FROM on_demand_prices
	UNION ALL
	SELECT region, instance_type, product, price, observed_at
	FROM product_prices)`
