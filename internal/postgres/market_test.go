package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/engine/backtest"
	"spotkeeper/internal/engine/market"
	"spotkeeper/internal/postgres/decisions"
)

func TestRecordedMarket(t *testing.T) {
	t.Parallel()
	g := guard(t)
	decisions := &decisions.Decisions{DB: g.db}
	from := noon.Add(-2 * time.Hour)
	_, err := decisions.Market(t.Context(), from, noon)
	require.True(t, fault.Is(err, market.Invalid), "nothing is recorded: %v", err)

	g.exec(
		`
			INSERT INTO on_demand_prices (region, instance_type, price, source, observed_at)
			VALUES ('us-east-1', 't3.medium', 0.0416, 'pricing-api', now())`,
	)
	for back := 30; back >= 0; back-- { // two hours and a half, one change of price
		dollars := 0.02
		if back < 12 {
			dollars = 0.03
		}
		g.bucket("a", back, dollars)
	}
	g.bucket("b", 3, 0.01) // not known at the start: left out
	g.exec(`UPDATE instances SET installed_at = $1`, from.Add(-time.Hour))
	g.exec(`INSERT INTO interruptions (client_id, instance_id, kind, pool_id, detected_at, proven) VALUES
		('k1', 'i-0', 'termination-notice', 't3.medium.us-east-1a', $1, true),
		('k1', 'i-0', 'rebalance-recommendation', 't3.medium.us-east-1a', $1, true),
		('k2', 'i-9', 'termination-notice', 't3.medium.us-east-1a', $1::timestamptz - interval '10 minutes', false)`,
		noon.Add(-time.Hour))

	m, err := decisions.Market(t.Context(), from, noon)
	require.NoError(t, err)
	require.Len(t, m.Pools, 1)
	require.Len(t, m.Pools[0].Prices, 2, "a price that stays is one point")
	require.Len(t, m.Pools[0].Losses, 1)
	loss := m.Pools[0].Losses[0]
	require.InDelta(t, 1, loss.Share, 0)
	require.Equal(t, 30*time.Minute, loss.Until.Sub(loss.At))

	r, err := backtest.Run(t.Context(), backtest.Options{
		Market:     m,
		Agents:     4,
		Strategies: []backtest.Strategy{backtest.Never()},
	})
	require.NoError(t, err)
	never, _ := r.Row("never-switch")
	require.Equal(t, 3, never.Interruptions, "all but the one that begins on demand")
}
