package postgres_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/postgres/housekeeping"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/postgres/prices"
)

// TestPricesInForceOfProducts: the price of a pool is the newest of its history, in whatever
// order and how often pages are stored, and while an older version stores the history alone.
func TestPricesInForceOfProducts(t *testing.T) {
	t.Parallel()
	g := guard(t)
	s := &prices.Prices{DB: g.db}
	windows := activities.ProductInRegion{
		TypeInRegion: activities.TypeInRegion{Region: "us-east-1", InstanceType: "m5.large"},
		Product:      "Windows",
	}
	const inForce = `SELECT coalesce(string_agg(pool_id || '=' || price, ' ' ORDER BY pool_id), '')
		FROM ` + pg.SpotPrices + ` p WHERE product = 'Windows'`
	keep := func(want int64, moves ...activities.PriceChange) {
		t.Helper()
		stored, err := s.KeepProductPriceChanges(t.Context(), windows, moves)
		require.NoError(t, err)
		require.Equal(t, want, stored)
	}
	a := func(minutes int, price string) activities.PriceChange {
		return activities.PriceChange{AZ: "us-east-1a", At: noon.Add(time.Duration(minutes) * time.Minute), Price: price}
	}
	keep(0)
	require.Empty(t, one[string](g, inForce))
	pages := []activities.PriceChange{a(0, "0.11"), a(5, "0.12"), a(10, "0.13"), {AZ: "us-east-1b", At: noon, Price: "0.2"}}
	rand.Shuffle(len(pages), func(i, j int) { pages[i], pages[j] = pages[j], pages[i] })
	for _, p := range pages {
		keep(1, p)
	}
	want := "m5.large.us-east-1a=0.130000 m5.large.us-east-1b=0.200000"
	require.Equal(t, want, one[string](g, inForce))
	keep(0, pages...)
	keep(0, a(20, "0"), a(20, "20000"))
	require.Equal(t, want, one[string](g, inForce), "twice is once, and what is no price changes nothing")

	g.exec(`INSERT INTO product_spot_prices VALUES ('m5.large.us-east-1a', 'Windows', $1, 0.14),
		('m5.large.us-east-1a', 'SUSE Linux', $1, 0.5)`, noon.Add(30*time.Minute))
	keep(0, a(10, "0.13"))
	require.Equal(t, "m5.large.us-east-1a=0.140000 m5.large.us-east-1b=0.200000", one[string](g, inForce),
		"what another version stored counts when the pool is read again")

	deleted, err := (&housekeeping.Housekeeping{DB: g.db}).Expire(t.Context(), "product_spot_prices",
		noon.Add(7*time.Minute), func() {})
	require.NoError(t, err)
	require.Equal(t, int64(1), deleted, "what was in force then is kept")
	require.Equal(t, "0.120000", one[string](g, `SELECT min(price)::text FROM product_spot_prices`))
}

// TestPresentPricesAreReadWithoutTheirHistory: however long the history of prices is, no read
// of present prices meets it.
func TestPresentPricesAreReadWithoutTheirHistory(t *testing.T) {
	t.Parallel()
	g := guard(t)
	plan := one[string](g, `EXPLAIN (FORMAT JSON) SELECT * FROM `+pg.SpotPrices+` p`)
	require.Contains(t, plan, "product_pool_prices")
	require.NotContains(t, plan, "product_spot_prices")
}
