package market_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/engine/market"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheSameSeedIsTheSameMarket(t *testing.T) {
	t.Parallel()
	a, b := market.Simulate(market.Options{Seed: 7}), market.Simulate(market.Options{Seed: 7})
	require.Equal(t, a, b)
	require.NotEqual(t, a.Pools, market.Simulate(market.Options{Seed: 8}).Pools)
	require.NoError(t, a.Validate())
	require.Len(t, a.Pools, 12)

	data, err := json.Marshal(a)
	require.NoError(t, err)
	var back market.Market
	require.NoError(t, json.Unmarshal(data, &back))
	require.Equal(t, *a, back, "a market survives being kept as JSON")
}

// TestLossesCluster holds the simulation against what is published: in a quarter
// of cases another zone follows within three minutes.
func TestLossesCluster(t *testing.T) {
	t.Parallel()
	total, followed := 0, 0
	for seed := range uint64(20) {
		m := market.Simulate(market.Options{Seed: seed})
		for i, p := range m.Pools {
			for _, l := range p.Losses {
				total++
				for j, other := range m.Pools {
					near, _ := other.LossesIn(l.At.Add(time.Nanosecond), l.At.Add(3*time.Minute))
					if i != j && other.Type == p.Type && len(near) > 0 {
						followed++
						break
					}
				}
			}
		}
	}
	require.Greater(t, total, 1000)
	require.InDelta(t, .25*.75, float64(followed)/float64(total), .06,
		"a follower is followed by nobody, so a little less than a quarter")
}

func TestTheYoungAreHitMore(t *testing.T) {
	t.Parallel()
	m := market.Simulate(market.Options{Seed: 3})
	young, grown := 0, 0
	for i, p := range m.Pools {
		for j := range p.Losses {
			for agent := range 50 {
				y, g := m.Hits(i, j, agent, 0), m.Hits(i, j, agent, 3*time.Hour)
				require.False(t, g && !y, "what is hit grown up is hit young")
				if y {
					young++
				}
				if g {
					grown++
				}
			}
		}
	}
	require.Greater(t, young, 2*grown)
	require.Positive(t, grown)
}

func TestCapacityComesBack(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)
	p := market.Pool{Losses: []market.Loss{{At: at, Until: at.Add(30 * time.Minute), Share: .5}}}
	require.True(t, p.HasCapacity(at.Add(-time.Second)))
	require.False(t, p.HasCapacity(at))
	require.False(t, p.HasCapacity(at.Add(29*time.Minute)))
	require.True(t, p.HasCapacity(at.Add(30*time.Minute)))
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*market.Market){
		"no pools":     func(m *market.Market) { m.Pools = nil },
		"no time":      func(m *market.Market) { m.End = m.Start },
		"no reference": func(m *market.Market) { m.OnDemand = nil },
		"late prices":  func(m *market.Market) { m.Pools[0].Prices = m.Pools[0].Prices[len(m.Pools[0].Prices)-1:] },
		"disorder":     func(m *market.Market) { m.Pools[1].Prices[1].At = m.End },
	} {
		m := market.Simulate(market.Options{Seed: 1})
		spoil(m)
		require.True(t, fault.Is(m.Validate(), market.Invalid), name)
	}
}
