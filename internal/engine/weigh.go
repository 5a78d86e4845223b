package engine

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
)

// weighing is the comparison of every place with the present one.
type weighing struct {
	in      Input
	terse   bool
	current Score
	typical float64 // risk of a pool like these, for a new instance
	others  []Score
}

// weigh forecasts all places in one call, scores them and records the objections
// to each.
func (r Rules) weigh(ctx context.Context, in Input) (*weighing, error) {
	w := &weighing{in: in, terse: r.Terse, others: make([]Score, 0, len(in.Pools)+1)}
	places := make([]Place, len(in.Pools))
	for i := range in.Pools {
		places[i] = Place{Pool: &in.Pools[i]}
		if in.Pools[i].ID == in.Instance.spotPool() {
			places[i].Age, places[i].Current = max(in.Now.Sub(in.Instance.LaunchedAt), 0), true
		}
	}
	forecaster := r.Forecaster
	if forecaster == nil {
		forecaster = Arithmetic{}
	}
	forecasts, err := forecaster.Forecast(ctx, in, places)
	if err != nil {
		return nil, err
	}
	if len(forecasts) != len(places) {
		return nil, BadAnswer.New("the forecaster answered %d forecasts for %d places", len(forecasts), len(places))
	}
	w.score(places, forecasts)
	for i := range w.others {
		w.judge(&w.others[i])
	}
	return w, nil
}

func (w *weighing) score(places []Place, forecasts []Forecast) {
	onDemand := Score{Mode: agent.OnDemand, Price: w.in.OnDemand.USD, Cost: w.in.OnDemand.USD}
	if w.in.Instance.Mode == agent.OnDemand {
		w.current = onDemand
	} else {
		w.others = append(w.others, onDemand)
	}
	typical, known := 0.0, 0
	for i, p := range places {
		s := w.in.score(p, forecasts[i])
		if p.Current {
			w.current = s
		} else {
			w.others = append(w.others, s)
		}
		if p.Pool.Interruptions != nil {
			typical += forecasts[i].losses()
			known++
		}
	}
	w.typical = -math.Expm1(-typical / float64(max(known, 1)))
	w.current.Current = true
}

// score prices an hour at a place. A price that moves is read against the move,
// both ways: the pool we would leave at the lower of its price and what is
// expected, the one we would enter at the higher, so that a spike or a dip alone
// moves no agent.
func (in Input) score(p Place, f Forecast) Score {
	s := Score{Mode: agent.Spot, PoolID: p.Pool.ID, AZ: p.Pool.AZ, Price: p.Pool.Price.USD, Risk: 1}
	if !p.Pool.Price.IsKnown() || p.Pool.Interruptions == nil {
		return s
	}
	s.Risk = clampToUnit(f.Risk)
	s.SavingsPercent = (1 - s.Price/in.OnDemand.USD) * 100
	s.Cost = max(f.Price, s.Price)
	if p.Current {
		s.Cost = min(f.Price, s.Price)
	}
	s.Cost += f.losses() / day.Hours() * interruptionHours * in.OnDemand.USD
	return s
}

// judge records the objections to a place.
func (w *weighing) judge(s *Score) {
	s.Gain = w.current.Cost - s.Cost
	if s.Mode == agent.OnDemand {
		if s.Gain <= 0 {
			w.veto(s, NotWorthIt, "Spot costs less than on-demand, interruptions included.")
		}
		return
	}
	p, _ := w.in.pool(s.PoolID)
	if !w.known(s, p) {
		return
	}
	in := w.in
	if in.Now.Before(p.BlockedUntil) {
		w.veto(s, PoolBlocked, "%s", p.blockSentence())
	}
	if s.SavingsPercent < in.Limits.MinSavingsPercent {
		saves, least := inPercent(s.SavingsPercent, in.Limits.MinSavingsPercent)
		w.veto(s, TooDear, "%s saves %s against on-demand, less than the minimum of %s.", p.ID, saves, least)
	}
	if s.Risk > in.Limits.RiskThreshold {
		risk, most := inPercent(s.Risk*100, in.Limits.RiskThreshold*100)
		w.veto(s, TooRisky,
			"%s would be lost within a day with a probability of %s, above the threshold of %s.", p.ID, risk, most)
	}
	if most := w.riskLimit(); s.Risk > most {
		risk, accepted := inPercent(s.Risk*100, most*100)
		w.veto(s, TooRisky, "%s has a risk of %s a day; coming from here, a voluntary move accepts at most %s.",
			p.ID, risk, accepted)
	}
	w.worth(s)
}

// known says whether enough is known of a pool to go there.
func (w *weighing) known(s *Score, p Pool) bool {
	switch {
	case !w.in.fits(p):
		w.veto(s, OtherPlace, "%s is of another type or region.", p.ID)
	case !p.Price.IsFresh(w.in.Now):
		w.veto(s, MissingData, "%s has no fresh price.", p.ID)
	case p.Interruptions == nil:
		w.veto(s, MissingData, "%s has no interruption statistics.", p.ID)
	case p.span() < minHistory:
		w.veto(s, MissingData, "%s has less than %.0f h of price history.", p.ID, minHistory.Hours())
	default:
		return true
	}
	return false
}

// riskLimit is what a voluntary move accepts: clearly less than the present
// pool's risk, and coming from on demand clearly less than a typical pool's. A
// small risk is always accepted.
func (w *weighing) riskLimit() float64 {
	present := w.current.Risk
	if w.current.Mode == agent.OnDemand {
		present = w.typical
	}
	return max(present*riskAccepted, smallRisk)
}

// worth asks whether a move gains enough.
func (w *weighing) worth(s *Score) {
	need := w.current.Cost * w.in.Limits.MinSavingsPercent / 100
	if w.escaping() { // out of danger for whatever is better at all
		need = 0
	}
	move := overlap.Hours() * w.current.Price
	switch {
	case s.Gain < need || s.Gain <= 0:
		w.veto(s, NotWorthIt,
			"%s would lower the weighed cost by $%.4f per hour, less than the $%.4f that a move must bring.",
			s.PoolID, max(s.Gain, 0), need)
	case s.Gain*payback.Hours() <= move:
		w.veto(s, NotWorthIt, "Moving to %s would cost $%.4f and not earn that back within %s.", s.PoolID, move,
			payback)
	}
}

func (w *weighing) veto(s *Score, code fault.Code, format string, args ...any) {
	v := Veto{Code: code}
	if !w.terse {
		v.Reason = fmt.Sprintf(format, args...)
	}
	s.Vetoes = append(s.Vetoes, v)
}

// escaping says whether the present placement is above the risk threshold.
func (w *weighing) escaping() bool { return w.current.Risk > w.in.Limits.RiskThreshold }

// best is the cheapest place without an objection; of equal ones the first by
// name, so that the answer does not depend on the order of the pools.
func (w *weighing) best() (Score, bool) {
	var best Score
	found := false
	for _, s := range w.others {
		if len(s.Vetoes) > 0 {
			continue
		}
		if !found || s.Cost < best.Cost || s.Cost == best.Cost && s.PoolID < best.PoolID {
			best, found = s, true
		}
	}
	return best, found
}

func (w *weighing) scores() []Score { return append([]Score{w.current}, w.others...) }

// stampLayout is how times stand in sentences.
const stampLayout = "2006-01-02 15:04 UTC"

func formatTime(t time.Time) string { return t.UTC().Format(stampLayout) }

// BlockSentence says that a person blocked a pool, until when and why.
func BlockSentence(poolID, by, reason string, until time.Time) string {
	return fmt.Sprintf("%s is blocked by %s until %s: %s.", poolID, by, formatTime(until), strings.TrimRight(reason, "."))
}

func (p Pool) blockSentence() string {
	if p.BlockedBy != "" {
		return BlockSentence(p.ID, p.BlockedBy, p.BlockReason, p.BlockedUntil)
	}
	return fmt.Sprintf("%s had no capacity and is avoided until %s.", p.ID, formatTime(p.BlockedUntil))
}

// inPercent writes two percentages that are compared with as many decimals, one at
// least, as it takes for them to read differently.
func inPercent(value, limit float64) (string, string) {
	for decimals := 1; ; decimals++ {
		a, b := fmt.Sprintf("%.*f%%", decimals, value), fmt.Sprintf("%.*f%%", decimals, limit)
		if a != b || decimals == 6 {
			return a, b
		}
	}
}
