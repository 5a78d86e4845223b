package engine

import (
	"context"
	"math"
	"time"
)

// Forecast is the expectation for one place within the coming day.
type Forecast struct {
	Price float64 // mean, USD per hour
	Risk  float64 // probability that an instance there is interrupted
}

// Forecaster estimates the day ahead. The rules have one of their own; a model
// is another, and the same rules act on it.
type Forecaster interface {
	// Forecast answers one Forecast for each place, in order. Fails with
	// engine.unavailable or engine.bad_answer.
	Forecast(ctx context.Context, in Input, places []Place) ([]Forecast, error)
}

// Place is a pool as an agent would be in it: the present one with an instance that
// has an age, any other by a new one.
type Place struct {
	Pool    *Pool
	Age     time.Duration
	Current bool
}

// What the arithmetic rests on. New instances are interrupted more often: traces give a
// hazard of .63 per hour for a new instance and .20 for one of two hours; only
// their ratio is used, the level is the pool's own.
const (
	youngFor    = 2 * time.Hour
	youngFactor = .63 / .20

	// Pools without history are taken for poor ones: one interruption in
	// a hundred instance-days.
	priorPerHour = 0.01 / 24
	// So much living in a pool weighs as much as what is known of its siblings.
	priorHours = 500

	// A price that stands at twice its mean says that capacity runs short: three
	// times the hazard, and no more than that however far it rises.
	riseFactor = 2.0
)

// Arithmetic is the forecaster of the rules: a price goes back to its mean of
// the last day, interruptions go on as counted and rise with the price.
type Arithmetic struct{}

// Forecast never fails.
func (Arithmetic) Forecast(_ context.Context, in Input, places []Place) ([]Forecast, error) {
	prior := priorRate(in.Pools)
	out := make([]Forecast, len(places))
	for i, p := range places {
		out[i] = p.Pool.forecast(prior, p.Age)
	}
	return out, nil
}

// DailyRisk is the probability that an instance of some age in the pool is
// interrupted within the coming day, as far as the pool's own record goes; 1
// without one.
func DailyRisk(p Pool, age time.Duration) float64 { return p.forecast(priorPerHour, age).Risk }

func (p *Pool) forecast(prior float64, age time.Duration) Forecast {
	f := Forecast{Price: p.Price.USD, Risk: 1}
	rise := 0.0
	if mean, known := p.mean(); known && p.Price.IsKnown() {
		f.Price, rise = mean, clampToUnit(p.Price.USD/mean-1)
	}
	if p.Interruptions != nil {
		// The integral over the day of what YouthFactor has above 1.
		youth := max(youngFor-max(age, 0), 0).Hours()
		extra := (youngFactor - 1) * youth * youth / (2 * youngFor.Hours())
		losses := p.Interruptions.hazard(prior) * (1 + riseFactor*rise) * (day.Hours() + extra)
		f.Risk = -math.Expm1(-losses)
	}
	return f
}

// losses is the expected number of interruptions behind a probability of at
// least one.
func (f Forecast) losses() float64 { return -math.Log1p(-min(f.Risk, .999)) }

// YouthFactor is how many times the hazard of a grown instance one of some age
// has: it falls in a straight line to 1 within two hours.
func YouthFactor(age time.Duration) float64 {
	youth := max(youngFor-max(age, 0), 0)
	return 1 + (youngFactor-1)*youth.Hours()/youngFor.Hours()
}

// HourlyHazard is the expected number of interruptions per hour of an instance that
// is past its youth.
func (s Interruptions) HourlyHazard() float64 { return s.hazard(priorPerHour) }

func (s Interruptions) hazard(prior float64) float64 {
	return (float64(s.Count) + prior*priorHours) / (s.hours() + priorHours)
}

// hours is how long instances ran in the pool. A count without it is read as
// if one instance had run there all the time.
func (s Interruptions) hours() float64 {
	if s.InstanceHours <= 0 && s.Count > 0 {
		return StatisticsWindow.Hours()
	}
	return max(s.InstanceHours, 0)
}

// priorRate is the hazard a pool is taken for before an agent ran in it: the
// mean of the candidates.
func priorRate(pools []Pool) float64 {
	var sum Interruptions
	for i := range pools {
		if s := pools[i].Interruptions; s != nil {
			sum.Count += s.Count
			sum.InstanceHours += s.hours()
		}
	}
	return sum.HourlyHazard()
}

// mean is the price's mean over the history, each price weighed by how long it
// was in force.
func (p *Pool) mean() (float64, bool) {
	if p.prepared != nil {
		return p.prepared.mean, p.prepared.known
	}
	var sum, seconds float64
	for i := range p.History {
		until := p.Price.At
		if i+1 < len(p.History) {
			until = p.History[i+1].At
		}
		if held := until.Sub(p.History[i].At).Seconds(); held > 0 && p.History[i].IsKnown() {
			sum += p.History[i].USD * held
			seconds += held
		}
	}
	return sum / max(seconds, 1), seconds >= 1
}

// prepared is what is worked out once for pools that many agents share.
type prepared struct {
	mean  float64
	known bool
}

// Prepare works out once what every decision over these pools needs. It changes
// no decision, only what it costs; the pools must not be changed afterwards.
func Prepare(pools []Pool) {
	for i := range pools {
		pools[i].prepared = nil
		mean, known := pools[i].mean()
		pools[i].prepared = &prepared{mean, known}
	}
}

// span is how far back the history goes.
func (p *Pool) span() time.Duration {
	if len(p.History) == 0 {
		return 0
	}
	return max(p.Price.At.Sub(p.History[0].At), 0)
}
