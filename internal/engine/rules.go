package engine

import (
	"context"
	"fmt"
	"time"

	"spotkeeper/internal/domain/agent"
)

// Rules is the built-in engine. It compares what an hour costs at each place,
// expected interruptions included, and moves when the best place is allowed, is
// no riskier, is cheaper by the minimum saving, and pays back the move within a
// day.
type Rules struct {
	// Forecaster estimates the day ahead; nil is Arithmetic.
	Forecaster Forecaster
	// Terse leaves out the sentences of the scores: half the work, for loops
	// that keep no record.
	Terse bool
}

// The prices of things that have none on the bill, and what a move must show.
const (
	// An interruption weighs as much as this number of hours on demand. That is far
	// above its bill: it is what the fleet would rather pay than be interrupted.
	interruptionHours = 50.0
	// For this long a switch pays for two instances: boot, checks, hand-over and
	// the wait before the old one ends.
	overlap = 15 * time.Minute
	// A move must earn back what it costs within this time.
	payback = day
	// A voluntary move must lower the risk by a quarter, coming from on demand
	// below a typical pool's. Both numbers were set on simulated markets so that
	// the rules meet no more interruptions than a fleet that seldom moves.
	riskAccepted = 0.75
	// A risk this small a day is accepted from any pool, or equally safe pools
	// would never be compared by price.
	smallRisk = 0.015
	// Less history than this is no history: a price seen once may be an accident.
	minHistory = time.Hour
	// What counts as much history, and as much experience with a pool.
	fullHistory       = day
	fullInstanceHours = 30 * 24
)

// Name is "rules".
func (Rules) Name() string { return "rules" }

// Version counts generations of the rules and their constants.
func (Rules) Version() string { return "1" }

// Decide fails only as its forecaster does: what it does not know makes it stay.
func (r Rules) Decide(ctx context.Context, in Input) (Decision, error) {
	if missing := in.missing(); len(missing) > 0 {
		return StayPut(in, missing[0].Reason, missing...), nil
	}
	w, err := r.weigh(ctx, in)
	if err != nil {
		return Decision{}, err
	}
	d := StayPut(in, "")
	d.Risk, d.Scores, d.Confidence = w.current.Risk, w.scores(), w.confidence()
	best, found := w.best()
	if !found {
		d.Reason = w.whyStay()
		return d, nil
	}
	d.Action, d.Mode, d.PoolID = SwitchToOnDemand, best.Mode, best.PoolID
	if best.Mode == agent.Spot {
		d.Action = SwitchToSpot
	}
	d.Savings = in.savingsAt(d.Mode, d.PoolID)
	d.Gain = w.current.Price - best.Price
	d.Reason = w.whyMove(best)
	return HoldBack(in, d), nil
}

// missing lists what must be known about the present before anything is judged.
func (in Input) missing() []Veto {
	var vetoes []Veto
	lacks := func(format string, args ...any) {
		vetoes = append(vetoes, Veto{MissingData, fmt.Sprintf(format, args...)})
	}
	if !in.Instance.modeKnown() {
		lacks("It is not known how the instance is bought.")
	}
	if !in.OnDemand.IsKnown() {
		lacks("Insufficient pricing data: there is no on-demand reference for %s in %s.", in.Instance.Type,
			in.Instance.Region)
	}
	if in.Instance.Mode != agent.Spot {
		return vetoes
	}
	p, known := in.pool(in.Instance.PoolID)
	switch {
	case !known || !p.Price.IsKnown():
		lacks("Insufficient pricing data: the price of the present pool is not known.")
	case !p.Price.IsFresh(in.Now):
		lacks("Insufficient pricing data: the price of the present pool %s is from %s.", p.ID, formatTime(p.Price.At))
	case p.Interruptions == nil:
		lacks("There are no interruption statistics for the present pool %s.", p.ID)
	}
	if in.Instance.LaunchedAt.IsZero() {
		lacks("It is not known when the instance was launched.")
	}
	return vetoes
}

// confidence grows with the history of the present pool (on demand, of the
// candidates) and with the time that instances ran there.
func (w *weighing) confidence() float64 {
	var history, hours float64
	for i := range w.in.Pools {
		p := &w.in.Pools[i]
		if w.current.Mode == agent.Spot && p.ID != w.current.PoolID {
			continue
		}
		history = max(history, p.span().Hours()/fullHistory.Hours())
		if p.Interruptions != nil {
			hours = max(hours, p.Interruptions.InstanceHours/fullInstanceHours)
		}
	}
	return 0.5 + 0.25*clampToUnit(history) + 0.25*clampToUnit(hours)
}

func (w *weighing) whyStay() string {
	if w.escaping() {
		return fmt.Sprintf(
			"The present pool would be lost within a day with a probability of %.0f%%, but no better place is known.",
			w.current.Risk*100)
	}
	if w.current.Mode == agent.Spot {
		return fmt.Sprintf("Current mode is optimal (%.1f%% savings)", w.current.SavingsPercent)
	}
	return "Current mode is optimal: no spot pool is known that is safe and cheap enough."
}

func (w *weighing) whyMove(to Score) string {
	place := "on-demand"
	if to.Mode == agent.Spot {
		place = to.PoolID
	}
	switch {
	case w.escaping():
		return fmt.Sprintf(
			"The present pool would be lost within a day with a probability of %.0f%%; %s costs $%.4f per hour at %.0f%%.",
			w.current.Risk*100,
			place,
			to.Price,
			to.Risk*100,
		)
	case to.Mode == agent.OnDemand:
		return fmt.Sprintf(
			"Spot price too high (%.1f%% savings only): weighed with its interruptions it costs more than on-demand.",
			w.current.SavingsPercent)
	case w.current.Mode == agent.OnDemand:
		return fmt.Sprintf("Good savings opportunity (%s is %.1f%% cheaper than on-demand, risk %.0f%%).", place,
			to.SavingsPercent, to.Risk*100)
	case to.Price < w.current.Price:
		return fmt.Sprintf("%s costs $%.4f per hour instead of $%.4f and is no riskier.", place, to.Price,
			w.current.Price)
	default:
		return fmt.Sprintf("%s is safer: a risk of %.1f%% a day instead of %.1f%%, at $%.4f per hour.", place,
			to.Risk*100, w.current.Risk*100, to.Price)
	}
}
