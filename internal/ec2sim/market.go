package ec2sim

import (
	"math"
	"time"

	"spotkeeper/internal/ec2sim/derive"
)

// The market is a pure function of seed, pool and moment: nothing is stored, no
// ticker runs, and the same seed is the same market for ever, in any order of
// questions. The log of a price swings around the pool's own level: a moving
// average over the last shocks, part of them shared by the family in the
// region, with a rare surge. It is looked at only at the pool's own change
// points, so that a price stands for a while, as EC2's do.
const (
	memory     = 64   // steps a shock is felt
	decay      = 0.94 // of a shock, per step
	volatility = 0.035
	shared     = 0.6 // weight of the family's shocks
	changeOdds = 12  // a price changes about every twelfth step
	surgeSpan  = 96  // steps a surge may last
	surgeOdds  = 40  // one span in this many is a surge
	minShare   = 0.10
	maxShare   = 1.0

	defaultPriceStep = 5 * time.Minute
	historySpan      = 90 * 24 * time.Hour
)

type market struct {
	seed  uint64
	step  time.Duration
	fixed map[string][]fixedPrice // by pool, oldest first
}

// fixedPrice stands from a step on; a Price of zero gives the pool back.
type fixedPrice struct {
	Step  int64   `json:"step"`
	Price float64 `json:"price"`
}

// series is one line of prices: a pool and a product.
type series struct {
	pool    string
	zone    string
	typ     instanceType
	region  region
	product string
	key     uint64 // of the pool's own shocks
	family  uint64 // of the shocks it shares
	level   float64
}

func (m *market) series(pool, product string) (series, bool) {
	t, r, z, ok := splitPool(pool)
	if !ok {
		return series{}, false
	}
	s := series{pool: pool, zone: z, typ: t, region: r, product: product}
	s.key = m.seed ^ derive.HashText(pool)
	s.family = m.seed ^ derive.HashText(t.family+"/"+r.name)
	s.level = math.Log(0.26 + 0.30*unit(derive.MixWords(s.key, 1)))
	return s, true
}

func (m *market) at(t time.Time) int64 { return t.UnixNano() / int64(m.step) }

func (m *market) time(step int64) time.Time { return time.Unix(0, step*int64(m.step)).UTC() }

// price is what the series costs per hour at a step.
func (m *market) price(s series, step int64) float64 {
	extra := osProductNamed(s.product).licence(s.typ) * s.region.factor
	if p := m.fixedAt(s.pool, step); p > 0 {
		return p + extra
	}
	for !changesAt(s, step) {
		step--
	}
	x, weight := s.level, volatility
	for i := range int64(memory) {
		x += weight * (gauss(s.key, step-i) + shared*gauss(s.family, step-i))
		weight *= decay
	}
	if span := step / surgeSpan; derive.MixWords(s.key, uint64(span)^0x5eed)%surgeOdds == 0 {
		x += 0.45
	}
	share := min(max(math.Exp(x), minShare), maxShare)
	return math.Round(share*s.typ.onDemand(s.region)*1e4)/1e4 + extra
}

// changed says whether the price of a step differs from the one before.
func (m *market) changed(s series, step int64) bool {
	if !changesAt(s, step) && !m.touched(s.pool, step) {
		return false
	}
	return m.price(s, step) != m.price(s, step-1)
}

func changesAt(s series, step int64) bool {
	return derive.MixWords(s.key, uint64(step)^0xc0de)%changeOdds == 0
}

func (m *market) fixedAt(pool string, step int64) float64 {
	price := 0.0
	for _, f := range m.fixed[pool] {
		if f.Step <= step {
			price = f.Price
		}
	}
	return price
}

func (m *market) touched(pool string, step int64) bool {
	for _, f := range m.fixed[pool] {
		if f.Step == step {
			return true
		}
	}
	return false
}

// unit is a number from 0 to 1.
func unit(n uint64) float64 { return float64(n>>11) / (1 << 53) }

// gauss is nearly normal with variance 1: the sum of four uniform numbers.
func gauss(key uint64, step int64) float64 {
	n := derive.MixWords(key, uint64(step))
	sum := float64(n&0xffff) + float64(n>>16&0xffff) + float64(n>>32&0xffff) + float64(n>>48)
	return (sum/65535 - 2) * math.Sqrt2 * 1.2247448713915892 // sqrt(3)
}
