package market

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/engine"
)

// Options describes a simulated market. The zero value of a field means its
// default.
type Options struct {
	Seed  uint64
	Start time.Time     // default 2026-01-05 00:00 UTC
	Span  time.Duration // default 30 days
	Types []Reference   // on-demand prices; default three types in one region
	Zones int           // per region; default 4
}

// The character of the simulated market. Levels are set so that a pool's
// interruptions lie between the best and the worst of what is published (from a
// few per cent a month to one a day), prices between a fifth of on-demand and
// above it; how losses cluster and how the young die is taken from traces.
const (
	historyBefore = 30 * 24 * time.Hour // prices and losses before the start
	priceStep     = time.Hour

	meanRatioLow, meanRatioHigh = .25, .80 // a pool's own price level, as a share of on-demand
	priceSwing                  = .22      // of the slow walk of log prices around it
	priceMemory                 = 72.0     // hours until the walk forgets
	pressurePerLoss             = .5       // a loss of everything raises the price by so much (log)
	pressureMemory              = 8.0      // hours until that is forgotten

	calmLosses, wildLosses = 1.0 / 40, 1.0 // losses per day of the best and the worst pool
	tightens               = 1.2           // how strongly a dear hour is a dangerous hour
	shareLow, shareHigh    = .05, .5       // of a pool's instances that a loss takes

	spreads      = .25 // chance that another zone of the region follows
	spreadWithin = 3 * time.Minute
	medianOutage = 30 * time.Minute
	maxOutage    = 12 * time.Hour
)

// Simulate makes the market of a seed: the same options, the same market.
func Simulate(o Options) *Market {
	if o.Start.IsZero() {
		o.Start = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	}
	if o.Span == 0 {
		o.Span = 30 * 24 * time.Hour
	}
	if o.Zones == 0 {
		o.Zones = 4
	}
	if len(o.Types) == 0 {
		o.Types = []Reference{{"t3.medium", "us-east-1", .0416}, {"m5.large", "us-east-1", .096},
			{"c5.xlarge", "us-east-1", .17}}
	}
	m := &Market{
		Name: fmt.Sprintf("simulated, seed %d", o.Seed), Seed: o.Seed,
		Start: o.Start, End: o.Start.Add(o.Span), OnDemand: o.Types,
	}
	rng := rand.New(rand.NewPCG(o.Seed, 0x5707)) //nolint:gosec // a simulation, which must repeat
	for _, reference := range o.Types {
		m.addType(rng, reference, o.Zones)
	}
	return m
}

// addType makes the pools of one type, hour by hour, because a loss in one zone
// can spread to another.
func (m *Market) addType(rng *rand.Rand, reference Reference, zones int) {
	first := len(m.Pools)
	lives := make([]life, zones)
	for z := range lives {
		az := reference.Region + string(rune('a'+z))
		m.Pools = append(m.Pools, Pool{
			ID:     agent.PoolID(reference.Type, az),
			Type:   reference.Type,
			Region: reference.Region,
			AZ:     az,
		})
		lives[z] = life{
			level:  math.Log(between(rng, meanRatioLow, meanRatioHigh)),
			wild:   math.Exp(between(rng, math.Log(calmLosses), math.Log(wildLosses))),
			walk:   rng.NormFloat64() * priceSwing,
			random: rng,
		}
	}
	pools := m.Pools[first:]
	for t := m.Start.Add(-historyBefore); t.Before(m.End); t = t.Add(priceStep) {
		for z := range lives {
			pools[z].price(t, lives[z].hour()*reference.USD)
			for range lives[z].losses() {
				at := t.Add(time.Duration(rng.Int64N(int64(priceStep))))
				lives[z].lose(&pools[z], at)
				if other := rng.IntN(zones); other != z && rng.Float64() < spreads*float64(zones)/float64(zones-1) {
					lives[other].lose(&pools[other], at.Add(time.Duration(rng.Int64N(int64(spreadWithin)))))
				}
			}
		}
	}
	for i := range pools {
		slices.SortFunc(pools[i].Losses, func(a, b Loss) int { return a.At.Compare(b.At) })
	}
}

// life is the hidden state of a pool.
type life struct {
	level    float64 // log of its mean price ratio
	wild     float64 // losses per day
	walk     float64 // slow deviation of the log price
	pressure float64 // what recent losses add to it
	random   *rand.Rand
}

// hour moves the price on and returns its ratio to on-demand.
func (l *life) hour() float64 {
	l.walk += -l.walk/priceMemory + l.random.NormFloat64()*priceSwing*math.Sqrt(2/priceMemory)
	l.pressure *= math.Exp(-1 / pressureMemory)
	return min(math.Exp(l.level+l.walk+l.pressure), 1.25)
}

// losses draws how many losses the coming hour brings.
func (l *life) losses() int {
	mean := l.wild / 24 * math.Exp(tightens*(l.walk+l.pressure))
	n := 0
	for product := l.random.Float64(); product > math.Exp(-mean); product *= l.random.Float64() {
		n++
	}
	return n
}

// lose writes a loss down; the price will feel it.
func (l *life) lose(p *Pool, at time.Time) {
	share := between(l.random, shareLow, shareHigh)
	outage := time.Duration(float64(medianOutage) * math.Exp(.6*l.random.NormFloat64()))
	p.Losses = append(p.Losses, Loss{At: at, Until: at.Add(min(outage, maxOutage)), Share: share})
	l.pressure += pressurePerLoss * share
}

// price writes a price down, rounded as EC2 rounds, when it changed.
func (p *Pool) price(t time.Time, usd float64) {
	usd = math.Round(usd*1e4) / 1e4
	if n := len(p.Prices); n == 0 || p.Prices[n-1].USD != usd {
		p.Prices = append(p.Prices, engine.Price{USD: max(usd, 1e-4), At: t})
	}
}

func between(rng *rand.Rand, low, high float64) float64 { return low + rng.Float64()*(high-low) }
