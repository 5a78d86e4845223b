// Package backtest runs decision engines over a market, recorded or simulated,
// and says what they would have cost. It calls the same code that decides live,
// with the same limits, and compares it with an oracle that sees future
// prices.
package backtest

import (
	"context"
	"time"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/engine/market"
)

// BadOptions is a back-test that cannot be run as asked.
var BadOptions = fault.Define("backtest.bad_options", fault.Invalid)

// Strategy is one way to run the fleet.
type Strategy struct {
	Name   string
	Engine engine.Engine // nil: never switch
	// Unlimited lets the engine move without limits, as the legacy backend did.
	Unlimited bool
}

// Never is the strategy that moves only when it must.
func Never() Strategy { return Strategy{Name: "never-switch"} }

// Legacy is the engine this project replaces, as it ran: without limits.
func Legacy() Strategy {
	return Strategy{Name: "legacy", Engine: engine.Legacy{}, Unlimited: true}
}

// With is a strategy named after its engine.
func With(e engine.Engine) Strategy { return Strategy{Name: e.Name(), Engine: e} }

// Oracle is the name of the row that knew the future.
const Oracle = "oracle"

// Options says what to run. The zero value of a field means its default.
type Options struct {
	Market     *market.Market
	From, To   time.Time  // a part of the market; default: all of it
	Agents     int        // default 200, spread over the pools; every fourth begins on demand
	Clients    int        // the agents' owners; default 4
	Strategies []Strategy // default: never, legacy, rules
	Limits     engine.Limits
	Step       time.Duration // of the clock and of decisions; default 5 minutes
	// InterruptionHours is what an interruption costs beside the bill, in hours
	// of the on-demand price; default 3. It weighs in Total and in the oracle's
	// mind, never in Bill.
	InterruptionHours float64
	NoOracle          bool
}

// Overlaps that are paid twice.
const (
	SwitchOverlap   = 15 * time.Minute // boot, checks, hand-over, wait before the old one ends
	FailoverOverlap = 2 * time.Minute  // the notice
	blockedFor      = 30 * time.Minute // a pool that refused a launch
	freeWithin      = time.Hour        // interrupted so young, an instance costs nothing
)

func (o *Options) fill() error {
	if o.Market == nil {
		return BadOptions.New("a back-test needs a market")
	}
	if err := o.Market.Validate(); err != nil {
		return err
	}
	if o.From.IsZero() || o.From.Before(o.Market.Start) {
		o.From = o.Market.Start
	}
	if o.To.IsZero() || o.To.After(o.Market.End) {
		o.To = o.Market.End
	}
	if !o.To.After(o.From) {
		return BadOptions.New("the market %q has nothing between %s and %s", o.Market.Name,
			o.From.Format(time.RFC3339), o.To.Format(time.RFC3339))
	}
	if o.Limits == (engine.Limits{}) {
		o.Limits = engine.DefaultLimits()
	}
	if len(o.Strategies) == 0 {
		o.Strategies = []Strategy{Never(), Legacy(), With(engine.Rules{})}
	}
	for field, fallback := range map[*int]int{&o.Agents: 200, &o.Clients: 4} {
		if *field <= 0 {
			*field = fallback
		}
	}
	if o.Step <= 0 {
		o.Step = 5 * time.Minute
	}
	if o.InterruptionHours == 0 {
		o.InterruptionHours = 3
	}
	return nil
}

// Run plays the market once for each strategy and once for the oracle. Fails
// with backtest.bad_options or market.invalid, and when ctx ends.
func Run(ctx context.Context, o Options) (Report, error) {
	if err := o.fill(); err != nil {
		return Report{}, err
	}
	r := Report{Market: o.Market.Name, From: o.From, To: o.To, Agents: o.Agents, InterruptionHours: o.InterruptionHours}
	r.AllOnDemand = o.allOnDemand()
	for _, s := range o.Strategies {
		row, err := newFleet(o, s).run(ctx)
		if err != nil {
			return Report{}, err
		}
		r.Rows = append(r.Rows, row)
	}
	if !o.NoOracle {
		row, err := foresee(ctx, o)
		if err != nil {
			return Report{}, err
		}
		r.Rows = append(r.Rows, row)
	}
	r.measure()
	return r, nil
}

// allOnDemand is what the fleet would pay without any use of spot.
func (o Options) allOnDemand() float64 {
	var usd float64
	for i := range o.Agents {
		usd += o.home(i).reference * o.To.Sub(o.From).Hours()
	}
	return usd
}

// home is where an agent begins: the pools in turn, every fourth on demand.
func (o Options) home(i int) home {
	pool := i % len(o.Market.Pools)
	p := &o.Market.Pools[pool]
	reference, _ := o.Market.Reference(p.Type, p.Region)
	return home{pool: pool, onDemand: (i/len(o.Market.Pools))%4 == 3, reference: reference}
}

type home struct {
	pool      int
	onDemand  bool
	reference float64
}
