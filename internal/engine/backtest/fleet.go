package backtest

import (
	"context"
	"fmt"
	"time"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/engine"
)

// fleet is the state of one strategy's run.
type fleet struct {
	o       Options
	s       Strategy
	pools   []poolState
	tenants []tenant
	agents  []*resident
	row     Row
}

// poolState is the fleet's data about a pool: prices, interruptions met there, and
// whether it refused a launch.
type poolState struct {
	price   engine.Price
	history []engine.Price
	stats   statistics
	blocked time.Time
	full    bool // refuses launches just now; found out only by trying
}

const grown = 24 * time.Hour

type tenant struct{ agents, moving int }

// resident is one agent and its instance.
type resident struct {
	index, client int
	id            string
	kin           []int // pools of its type and region
	reference     float64
	onDemand      bool
	pool          int // the present one, or on demand the one of its zone
	launched      time.Time
	since         time.Time // in the pool
	changed       time.Time
	switches      []time.Time
	paid          float64 // for the present instance, until its first hour is over
}

func newFleet(o Options, s Strategy) *fleet {
	f := &fleet{o: o, s: s, pools: make([]poolState, len(o.Market.Pools)), tenants: make([]tenant, o.Clients)}
	f.row.Strategy = s.Name
	for i := range o.Agents {
		h := o.home(i)
		r := &resident{
			index:     i,
			client:    i % o.Clients,
			id:        fmt.Sprintf("a%04d", i),
			reference: h.reference,
			onDemand:  h.onDemand,
			pool:      h.pool,
		}
		// No agent begins at the start: the fleet is a day old.
		r.launched, r.since = o.From.Add(-24*time.Hour), o.From.Add(-24*time.Hour)
		r.kin = o.kin(h.pool)
		f.agents = append(f.agents, r)
		f.tenants[r.client].agents++
	}
	f.remember()
	return f
}

// remember gives the fleet a history of one month: every agent ran at its home place, of
// full age and on spot, under the market as recorded. Every strategy begins with the same
// history.
func (f *fleet) remember() {
	from := f.o.From.Add(-engine.StatisticsWindow)
	for i := range f.pools {
		losses, first := f.o.Market.Pools[i].LossesIn(from, f.o.From)
		known := f.o.From.Sub(from)
		if began := f.o.Market.Pools[i].Prices[0].At; began.After(from) {
			known = f.o.From.Sub(began)
		}
		sum := engine.Interruptions{}
		for _, r := range f.agents {
			if r.pool != i {
				continue
			}
			sum.InstanceHours += known.Hours()
			for j := range losses {
				if f.o.Market.Hits(i, first+j, r.index, grown) {
					sum.Count++
				}
			}
		}
		f.pools[i].stats.began(sum, f.o.From)
	}
}

// kin lists the pools of the same type and region.
func (o Options) kin(pool int) []int {
	var kin []int
	own := &o.Market.Pools[pool]
	for i := range o.Market.Pools {
		if p := &o.Market.Pools[i]; p.Type == own.Type && p.Region == own.Region {
			kin = append(kin, i)
		}
	}
	return kin
}

// run plays the market from step to step: losses, then decisions, then the bill.
func (f *fleet) run(ctx context.Context) (Row, error) {
	for now := f.o.From; now.Before(f.o.To); now = now.Add(f.o.Step) {
		if err := ctx.Err(); err != nil {
			return Row{}, fmt.Errorf("the back-test of %s was interrupted: %w", f.s.Name, err)
		}
		f.look(now)
		f.lose(now)
		if f.s.Engine != nil {
			f.decide(ctx, now)
		}
		f.bill(now)
	}
	f.row.Total = f.row.Bill + f.row.Disruption
	return f.row, nil
}

// look takes in prices and forgets yesterday's counts.
func (f *fleet) look(now time.Time) {
	for i := range f.pools {
		p, m := &f.pools[i], &f.o.Market.Pools[i]
		p.price, _ = m.PriceAt(now)
		p.price.At = now
		p.history = m.History(now, 24*time.Hour)
		p.stats.turn(now)
		p.full = !m.HasCapacity(now)
	}
	for i := range f.tenants {
		f.tenants[i].moving = 0
	}
}

// lose applies the losses of the coming step to the agents that they hit.
func (f *fleet) lose(now time.Time) {
	for i := range f.pools {
		losses, first := f.o.Market.Pools[i].LossesIn(now, now.Add(f.o.Step))
		for j := range losses {
			for _, r := range f.agents {
				if !r.onDemand && r.pool == i && r.launched.Before(now) &&
					f.o.Market.Hits(i, first+j, r.index, now.Sub(r.launched)) {
					f.interrupt(r, now)
				}
			}
		}
	}
}

// interrupt is a notice and its failover: to the safest pool that has capacity,
// of equally safe ones the cheapest, and at last on demand.
func (f *fleet) interrupt(r *resident, now time.Time) {
	f.row.Interruptions++
	f.row.Disruption += f.o.InterruptionHours * r.reference
	f.pools[r.pool].stats.count++
	f.pools[r.pool].blocked = now.Add(blockedFor)
	if now.Sub(r.launched) < freeWithin {
		f.row.Bill -= r.paid
	}
	lost, best := r.pool, -1
	for _, i := range r.kin {
		if p := &f.pools[i]; i != lost && !p.full && (best < 0 || f.safer(i, best)) {
			best = i
		}
	}
	if best < 0 {
		r.move(now, true, lost)
	} else {
		r.move(now, false, best)
	}
	f.payTwice(r.priceNow(f), FailoverOverlap)
}

func (f *fleet) safer(a, b int) bool {
	x, y := f.pools[a].stats.thirtyDays(), f.pools[b].stats.thirtyDays()
	if hx, hy := x.HourlyHazard(), y.HourlyHazard(); hx != hy {
		return hx < hy
	}
	return f.pools[a].price.USD < f.pools[b].price.USD
}

// decide asks the engine for every agent and carries out what it says.
func (f *fleet) decide(ctx context.Context, now time.Time) {
	views := map[int][]engine.Pool{}
	for _, r := range f.agents {
		first := r.kin[0]
		if views[first] == nil {
			views[first] = f.view(r.kin)
		}
		in := f.input(r, now, views[first])
		began := time.Now()
		var d engine.Decision
		var err error
		if f.s.Unlimited {
			d, err = f.s.Engine.Decide(ctx, in)
		} else {
			d = engine.DecideUnrecorded(ctx, f.s.Engine, in)
		}
		f.row.deciding += time.Since(began)
		f.row.Decisions++
		if err == nil && d.AsksForSwitch() {
			f.carryOut(r, d, now)
		}
	}
}

// carryOut makes the switch, unless the pool has no capacity: then the agent
// stays and the pool is remembered.
func (f *fleet) carryOut(r *resident, d engine.Decision, now time.Time) {
	target := r.pool
	for _, i := range r.kin {
		if d.PoolID != "" && f.o.Market.Pools[i].ID == d.PoolID {
			target = i
		}
	}
	onDemand := d.Action == engine.SwitchToOnDemand
	if onDemand == r.onDemand && (onDemand || target == r.pool) {
		return // there already
	}
	if !onDemand && f.pools[target].full {
		f.row.Refused++
		f.pools[target].blocked = now.Add(blockedFor)
		return
	}
	f.payTwice(r.priceNow(f), SwitchOverlap)
	r.move(now, onDemand, target)
	r.switches = append(r.switches, now)
	f.row.Switches++
	f.tenants[r.client].moving++
}

// bill charges the coming step.
func (f *fleet) bill(now time.Time) {
	hours := f.o.Step.Hours()
	for _, r := range f.agents {
		usd := r.priceNow(f) * hours
		f.row.Bill += usd
		if now.Sub(r.launched) < freeWithin {
			r.paid += usd
		}
		if !r.onDemand {
			f.pools[r.pool].stats.hours += hours
			f.row.spotHours += hours
		}
	}
}

func (f *fleet) payTwice(usdPerHour float64, overlap time.Duration) {
	f.row.Bill += usdPerHour * overlap.Hours()
}

func (r *resident) priceNow(f *fleet) float64 {
	if r.onDemand {
		return r.reference
	}
	return f.pools[r.pool].price.USD
}

func (r *resident) move(now time.Time, onDemand bool, pool int) {
	r.onDemand, r.pool, r.launched, r.since, r.changed, r.paid = onDemand, pool, now, now, now, 0
}

// view is what the engine sees of some pools.
func (f *fleet) view(kin []int) []engine.Pool {
	view := make([]engine.Pool, 0, len(kin))
	for _, i := range kin {
		p, m := &f.pools[i], &f.o.Market.Pools[i]
		seen := p.stats.thirtyDays()
		view = append(view, engine.Pool{
			ID: m.ID, Type: m.Type, Region: m.Region, AZ: m.AZ,
			Price: p.price, History: p.history, Interruptions: &seen, BlockedUntil: p.blocked,
		})
	}
	engine.Prepare(view)
	return view
}

// input is the engine's input about one agent.
func (f *fleet) input(r *resident, now time.Time, view []engine.Pool) engine.Input {
	m := &f.o.Market.Pools[r.pool]
	in := engine.Input{
		Now:   now,
		Agent: engine.Agent{ID: r.id, Enabled: true, AutoSwitch: true},
		Instance: engine.Instance{
			ID:         r.id,
			Type:       m.Type,
			Region:     m.Region,
			AZ:         m.AZ,
			Mode:       agent.OnDemand,
			LaunchedAt: r.launched,
		},
		OnDemand: engine.Price{USD: r.reference, At: now},
		Pools:    view,
		Limits:   f.o.Limits,
		Activity: engine.Activity{LastChangeAt: r.changed},
		Holds:    engine.Blockers{ClientAgents: f.tenants[r.client].agents, ClientMoving: f.tenants[r.client].moving},
	}
	if !r.onDemand {
		in.Instance.Mode, in.Instance.PoolID, in.Activity.PoolSince = agent.Spot, m.ID, r.since
	}
	for i := len(r.switches) - 1; i >= 0 && now.Sub(r.switches[i]) < 7*24*time.Hour; i-- {
		in.Activity.SwitchesWeek++
		if now.Sub(r.switches[i]) < 24*time.Hour {
			in.Activity.SwitchesDay++
		}
	}
	return in
}
