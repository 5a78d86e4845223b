// Package market holds what a back-test needs to know of the world: the prices
// of pools over time, and when they lost capacity. A market is either recorded
// or simulated from a seed; both are the same plain data, so both can be kept
// as JSON and run again.
package market

import (
	"slices"
	"sort"
	"time"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/engine"
)

// Invalid is a market that cannot be run.
var Invalid = fault.Define("market.invalid", fault.Invalid)

// Market is the world between two times.
type Market struct {
	Name     string      `json:"name"`
	Start    time.Time   `json:"start"`
	End      time.Time   `json:"end"`
	Seed     uint64      `json:"seed"` // of the draws that decide whom a loss hits
	Pools    []Pool      `json:"pools"`
	OnDemand []Reference `json:"on_demand"`
}

// Pool is one pool's prices and losses, each oldest first. Prices may begin
// before the market does, for history.
type Pool struct {
	ID     string         `json:"id"`
	Type   string         `json:"type"`
	Region string         `json:"region"`
	AZ     string         `json:"az"`
	Prices []engine.Price `json:"prices"` // each in force until the next
	Losses []Loss         `json:"losses"`
}

// Loss is a moment at which a pool lost capacity.
type Loss struct {
	At    time.Time `json:"at"`
	Until time.Time `json:"until"` // no instance can be launched before
	Share float64   `json:"share"` // of its grown instances that are interrupted; young ones go sooner
}

// Reference is an on-demand price in USD per hour.
type Reference struct {
	Type   string  `json:"type"`
	Region string  `json:"region"`
	USD    float64 `json:"usd"`
}

// Reference returns the on-demand price of a type in a region.
func (m *Market) Reference(instanceType, region string) (float64, bool) {
	i := slices.IndexFunc(m.OnDemand, func(r Reference) bool { return r.Type == instanceType && r.Region == region })
	if i < 0 {
		return 0, false
	}
	return m.OnDemand[i].USD, true
}

// Validate judges whether the market can be run. Fails with market.invalid.
func (m *Market) Validate() error {
	if !m.End.After(m.Start) || len(m.Pools) == 0 {
		return Invalid.New("the market %q has no pools or no time", m.Name)
	}
	for _, p := range m.Pools {
		if _, known := m.Reference(p.Type, p.Region); !known {
			return Invalid.New("the market %q has no on-demand price of %s in %s", m.Name, p.Type, p.Region)
		}
		if len(p.Prices) == 0 || p.Prices[0].At.After(m.Start) {
			return Invalid.New("the market %q does not know the price of %s at its start", m.Name, p.ID)
		}
		ordered := slices.IsSortedFunc(p.Prices, func(a, b engine.Price) int { return a.At.Compare(b.At) }) &&
			slices.IsSortedFunc(p.Losses, func(a, b Loss) int { return a.At.Compare(b.At) })
		if !ordered {
			return Invalid.New("the prices or losses of %s are not in order", p.ID)
		}
	}
	return nil
}

// PriceAt returns the price in force and its place in Prices.
func (p *Pool) PriceAt(t time.Time) (engine.Price, int) {
	i := sort.Search(len(p.Prices), func(i int) bool { return p.Prices[i].At.After(t) }) - 1
	if i < 0 {
		return engine.Price{}, -1
	}
	return p.Prices[i], i
}

// History returns the prices in force in a span that ends at t.
func (p *Pool) History(t time.Time, span time.Duration) []engine.Price {
	_, last := p.PriceAt(t)
	_, first := p.PriceAt(t.Add(-span))
	return p.Prices[max(first, 0) : last+1]
}

// LossesIn returns the losses in [from, to) and the index of the first.
func (p *Pool) LossesIn(from, to time.Time) ([]Loss, int) {
	i := sort.Search(len(p.Losses), func(i int) bool { return !p.Losses[i].At.Before(from) })
	j := sort.Search(len(p.Losses), func(i int) bool { return !p.Losses[i].At.Before(to) })
	return p.Losses[i:j], i
}

// HasCapacity says whether an instance can be launched at t.
func (p *Pool) HasCapacity(t time.Time) bool {
	_, next := p.LossesIn(t.Add(time.Nanosecond), t.Add(time.Nanosecond))
	for i := next - 1; i >= 0 && t.Sub(p.Losses[i].At) < maxOutage; i-- {
		if t.Before(p.Losses[i].Until) {
			return false
		}
	}
	return true
}

// Hits says whether a loss interrupts one agent's instance of some age. The
// draw depends on the market's seed, the pool, the loss and the agent alone, so
// every strategy lives in the same world.
func (m *Market) Hits(pool, loss, agent int, age time.Duration) bool {
	share := m.Pools[pool].Losses[loss].Share * engine.YouthFactor(age)
	return draw(m.Seed, uint64(pool), uint64(loss), uint64(agent)) < share
}

// draw is a number in [0,1) that is a pure function of the keys (splitmix64).
func draw(keys ...uint64) float64 {
	var z uint64
	for _, k := range keys {
		z = (z ^ k) + 0x9e3779b97f4a7c15
		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
		z = (z ^ (z >> 27)) * 0x94d049bb133111eb
		z ^= z >> 31
	}
	return float64(z>>11) / (1 << 53)
}
