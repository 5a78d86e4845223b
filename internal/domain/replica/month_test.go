package replica_test

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/replica"
)

// The month that is simulated: a client's fleet in a market of four types in six zones.
const (
	monthHours = 30 * 24
	monthFleet = 120
	monthZones = "abcdef"
	monthWeek  = 7 * 24
)

// monthPool is a pool: what it costs, and how it ends instances.
type monthPool struct {
	instanceType, az string
	price            float64
	hazard           float64 // chance of an instance to be taken, per hour
	away             int     // until this hour EC2 takes all and gives none
	taken            []int   // hours of interruptions
	lived            []int   // instances by hour
	ours             int
}

// hours are the instance-hours of the last week.
func (p *monthPool) hours() (n float64) {
	for _, ours := range p.lived[max(0, len(p.lived)-monthWeek):] {
		n += float64(ours)
	}
	return n
}

func (p *monthPool) id() string { return agent.PoolID(p.instanceType, p.az) }

// month is one run: the same market for each way to choose, because market and instances
// draw from sources of their own.
type month struct {
	market *rand.Rand
	pools  []*monthPool
	at     []*monthPool // where each agent lives; nil: on demand
	hour   int
}

var monthTypes = []replica.TypeFacts{
	{Name: "m5.large", VCPUs: 2, MemoryMiB: 8192, Architectures: []string{"x86_64"}, Current: true},
	{Name: "m5a.large", VCPUs: 2, MemoryMiB: 8192, Architectures: []string{"x86_64"}, Current: true},
	{Name: "m6i.large", VCPUs: 2, MemoryMiB: 8192, Architectures: []string{"x86_64"}, Current: true},
	{Name: "m7i.large", VCPUs: 2, MemoryMiB: 8192, Architectures: []string{"x86_64"}, Current: true},
}

const monthOnDemand = 0.096

func newMonth(seed uint64) *month {
	m := &month{market: rand.New(rand.NewPCG(seed, 1))}
	for _, t := range monthTypes {
		for _, z := range monthZones {
			p := &monthPool{instanceType: t.Name, az: "us-east-1" + string(z)}
			p.price = monthOnDemand * (.30 + .25*m.market.Float64())
			p.hazard = .0005
			if m.market.IntN(3) == 0 { // a third are pools in demand, at any price
				p.hazard = .006
			}
			m.pools = append(m.pools, p)
		}
	}
	m.at = make([]*monthPool, monthFleet)
	return m
}

// step moves the market on by an hour: prices wander slowly, and now and then a pool ends.
func (m *month) step() {
	m.hour++
	for _, p := range m.pools {
		p.lived = append(p.lived, p.ours)
		p.price = min(max(p.price*(1+.01*(m.market.Float64()-.5)), .25*monthOnDemand), .7*monthOnDemand)
		if m.market.Float64() < p.hazard*2 {
			p.away = m.hour + 1 + m.market.IntN(3)
		}
	}
}

// monthChoice says where an agent that lived in a pool goes; nil: on demand.
type monthChoice func(m *month, from *monthPool) *monthPool

// cheapestOnly is the choice by price alone.
func cheapestOnly(m *month, _ *monthPool) *monthPool {
	open := slices.DeleteFunc(slices.Clone(m.pools), func(p *monthPool) bool { return p.away > m.hour })
	if len(open) == 0 {
		return nil
	}
	return slices.MinFunc(open, func(a, b *monthPool) int { return cmp.Compare(a.price, b.price) })
}

// chosen is the product's choice for an emergency.
func chosen(m *month, from *monthPool) *monthPool {
	facts := replica.Facts{Kind: replica.Termination, Types: monthTypes, Architecture: "x86_64", Fleet: monthFleet,
		Primary:  replica.Origin{InstanceType: "m5.large", Region: "us-east-1", AZ: "us-east-1a"},
		OnDemand: map[string]float64{}}
	if from != nil {
		facts.Primary.InstanceType, facts.Primary.AZ = from.instanceType, from.az
	}
	for _, t := range monthTypes {
		facts.OnDemand[t.Name] = monthOnDemand
	}
	byID := map[string]*monthPool{}
	for _, p := range m.pools {
		byID[p.id()] = p
		recent := 0
		for _, h := range p.taken {
			if m.hour-h < monthWeek {
				recent++
			}
		}
		facts.Pools = append(facts.Pools, replica.PoolFacts{InstanceType: p.instanceType, AZ: p.az, Price: p.price,
			Interruptions: recent, Ours: p.ours, Hours: p.hours()})
	}
	for _, c := range replica.Choose(replica.Plan{}, facts) {
		if p := byID[c.PoolID]; c.Mode == agent.OnDemand {
			return nil
		} else if p.away <= m.hour {
			return p
		}
	}
	return nil
}

// monthFigures are what a month came to.
type monthFigures struct {
	largest       float64 // mean share of the fleet in its largest pool
	most          float64 // the largest share at any hour
	atOnce        int     // the most instances that one hour took
	interruptions int
	cost          float64 // USD
}

func (m *month) move(i int, choose monthChoice) {
	from := m.at[i]
	if from != nil {
		from.ours--
	}
	m.at[i] = choose(m, from)
	if m.at[i] != nil {
		m.at[i].ours++
	}
}

func runMonth(seed uint64, choose monthChoice) (f monthFigures) {
	m, fate := newMonth(seed), rand.New(rand.NewPCG(seed, 2))
	for i := range m.at {
		m.move(i, choose)
	}
	for range monthHours {
		m.step()
		hit := 0
		for i, p := range m.at {
			switch {
			case p == nil:
				f.cost += monthOnDemand
				m.move(i, choose) // it returns to spot as soon as it can
			case p.away > m.hour || fate.Float64() < p.hazard:
				p.taken = append(p.taken, m.hour)
				f.cost += p.price
				hit++
				m.move(i, choose)
			default:
				f.cost += p.price
			}
		}
		f.interruptions += hit
		f.atOnce = max(f.atOnce, hit)
		share := float64(slices.MaxFunc(m.pools, func(a, b *monthPool) int { return a.ours - b.ours }).ours) / monthFleet
		f.largest += share / monthHours
		f.most = max(f.most, share)
	}
	return f
}

// TestAMonthOfPools compares the choice with that by price alone over thirty days of five
// markets: no pool's end takes a large part of the fleet, in all markets together fewer
// instances are taken, and the cost is little higher.
func TestAMonthOfPools(t *testing.T) {
	t.Parallel()

	var before, now monthFigures
	for seed := range uint64(5) {
		b, n := runMonth(seed, cheapestOnly), runMonth(seed, chosen)
		t.Logf("market %d, by price alone: largest pool %.0f %% (at most %.0f %%), %d taken, %d at once, %.0f USD", seed,
			100*b.largest, 100*b.most, b.interruptions, b.atOnce, b.cost)
		t.Logf("market %d, chosen:         largest pool %.0f %% (at most %.0f %%), %d taken, %d at once, %.0f USD", seed,
			100*n.largest, 100*n.most, n.interruptions, n.atOnce, n.cost)
		require.Less(t, n.most, .5, "one pool's end takes no half of the fleet")
		require.Less(t, 3*n.atOnce, monthFleet)
		before.add(b)
		now.add(n)
	}
	t.Logf("in all: taken %d instead of %d, cost %+.1f %%", now.interruptions, before.interruptions,
		100*(now.cost/before.cost-1))
	require.Less(t, now.cost, 1.25*before.cost)
	require.Less(t, now.interruptions, before.interruptions)
}

func (f *monthFigures) add(o monthFigures) {
	f.interruptions += o.interruptions
	f.cost += o.cost
}
