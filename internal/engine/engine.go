// Package engine decides whether an agent should move, and says why. It is
// pure: prices, history, statistics, limits and the time come in, a Decision
// comes out, so the same code decides live, in a back-test and in a rollout's
// shadow. Runners that need more than arithmetic (a model file, a subprocess)
// live in packages below this one and implement Engine.
package engine

import (
	"context"
	"fmt"
	"math"
	"time"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/plaintext"
)

// Ways to fail, and to be held back. A veto's code is one of these or one of
// agent's and switching's.
var (
	BadLimits     = fault.Define("engine.bad_limits", fault.Invalid)      // a policy that means nothing
	OtherFeatures = fault.Define("engine.other_features", fault.Invalid)  // a model made for other inputs
	Unavailable   = fault.Define("engine.unavailable", fault.Unavailable) // the runner gave no answer
	BadAnswer     = fault.Define("engine.bad_answer", fault.Unavailable)  // it answered what cannot be done
	MissingData   = fault.Define("engine.missing_data", fault.Conflict)   // nothing is decided on a guess
	NoticeStands  = fault.Define("engine.notice_stands", fault.Conflict)  // the Guardian decides
	ClientMoving  = fault.Define("engine.client_moving",
		fault.Conflict) // enough of the client's fleet moves already
	FleetMoving = fault.Define("engine.fleet_moving",
		fault.Conflict) // enough of all clients' agents move already
	TooRisky    = fault.Define("engine.too_risky", fault.Conflict)           // the pool is above the risk threshold
	TooDear     = fault.Define("engine.too_dear", fault.Conflict)            // the pool saves less than the minimum
	NotWorthIt  = fault.Define("engine.not_worth_it", fault.Conflict)        // the move gains too little
	PoolBlocked = fault.Define("engine.pool_blocked", fault.Exhausted)       // it had no capacity lately, or a person blocked it
	OtherPlace  = fault.Define("engine.other_type_or_region", fault.Invalid) // not a place for this instance
)

// Engine decides for one agent. Implementations are safe for concurrent use,
// keep the context's deadline, and answer the same for the same input. Callers
// use Ask, which makes a Decision of every way to fail.
type Engine interface {
	// Name is the runner's kind: "rules", "legacy", "onnx", "python".
	Name() string
	// Version distinguishes two generations of the same runner.
	Version() string
	// Decide judges one input. Fails with engine.unavailable or
	// engine.bad_answer.
	Decide(ctx context.Context, in Input) (Decision, error)
}

// Action is the kind of a decision.
type Action string

// Actions.
const (
	Stay             Action = "stay"
	SwitchToSpot     Action = "switch_to_spot"
	SwitchToOnDemand Action = "switch_to_ondemand"
)

// Decision is an engine's answer with everything needed to explain it later.
// Money is USD per hour.
type Decision struct {
	Action Action     `json:"action"`
	Mode   agent.Mode `json:"mode"`              // after the action; the present one when it stays
	PoolID string     `json:"pool_id,omitempty"` // likewise; empty on demand

	Risk       float64 `json:"risk"`             // of the present placement: probability of losing it within a day
	Savings    float64 `json:"expected_savings"` // on-demand reference minus the price after the action
	Gain       float64 `json:"gain"`             // what the action saves against staying; 0 when it stays
	Confidence float64 `json:"confidence"`       // 0..1, how much the inputs carry

	Reason string  `json:"reason"`           // one sentence
	Scores []Score `json:"scores,omitempty"` // every place that was weighed
	Vetoes []Veto  `json:"vetoes,omitempty"` // what held back a move that was wanted, or any move at all
	Wanted *Target `json:"wanted,omitempty"` // the move that the vetoes held back

	Engine  string `json:"engine"`
	Version string `json:"engine_version"`
	Digest  string `json:"inputs_digest,omitempty"` // of the Input; set by Ask
}

// Target is a place to go to.
type Target struct {
	Action Action `json:"action"`
	PoolID string `json:"pool_id,omitempty"`
}

// Score is how one place was judged. Money is USD per hour.
type Score struct {
	Mode           agent.Mode `json:"mode"`
	PoolID         string     `json:"pool_id,omitempty"`
	AZ             string     `json:"az,omitempty"`
	Current        bool       `json:"current,omitempty"`
	Price          float64    `json:"price"`
	SavingsPercent float64    `json:"savings_percent"` // against the on-demand reference
	Risk           float64    `json:"risk"`            // probability of losing an instance there within a day
	Cost           float64    `json:"cost"`            // the price, with what interruptions are expected to cost
	Gain           float64    `json:"gain"`            // present cost minus this one
	Vetoes         []Veto     `json:"vetoes,omitempty"`
}

// Veto is one reason against a move.
type Veto struct {
	Code   fault.Code `json:"code"`
	Reason string     `json:"reason"`
}

// AsksForSwitch says whether the decision asks for anything to happen.
func (d Decision) AsksForSwitch() bool { return d.Action != Stay }

// LegacyType returns the word that the deployed page and agents use:
// switch_to_spot, switch_to_ondemand, stay_spot or stay_ondemand.
func (d Decision) LegacyType() string {
	switch {
	case d.AsksForSwitch():
		return string(d.Action)
	case d.Mode == agent.Spot:
		return "stay_spot"
	default:
		return "stay_ondemand"
	}
}

// StayPut is the decision to do nothing, for a reason.
func StayPut(in Input, reason string, vetoes ...Veto) Decision {
	d := Decision{
		Action: Stay, Mode: in.Instance.Mode, PoolID: in.Instance.spotPool(),
		Confidence: 0.5, Reason: reason, Vetoes: vetoes,
	}
	d.Savings = in.savingsAt(d.Mode, d.PoolID)
	return d
}

// Decide lets an engine decide and never fails: an engine that errs, hangs past
// the deadline, panics or answers nonsense yields "stay" with the reason, and no
// engine can move against the limits. The answer carries the engine's name,
// version and the digest of the input.
func Decide(ctx context.Context, e Engine, in Input) Decision {
	d := DecideUnrecorded(ctx, e, in)
	d.Digest = in.Digest()
	return d
}

// DecideUnrecorded is Decide without the digest, for loops that keep no record.
func DecideUnrecorded(ctx context.Context, e Engine, in Input) Decision {
	var d Decision
	if !in.Agent.Enabled {
		d = StayPut(in, "Agent disabled", Veto{agent.Disabled, "The agent is disabled."})
	} else if answer, err := callEngine(ctx, e, in); err != nil {
		d = StayPut(in, "Decision engine unavailable - staying in current mode for safety: "+sentence(err),
			vetoForError(err))
		d.Confidence = 0
	} else {
		d = HoldBack(in, answer)
	}
	if d.Engine == "" { // an engine that had another one decide says which
		d.Engine, d.Version = e.Name(), e.Version()
	}
	return d
}

// callEngine calls the engine and judges the form of its answer.
func callEngine(ctx context.Context, e Engine, in Input) (d Decision, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = Unavailable.New("the engine panicked: %v", p)
		}
	}()
	if d, err = e.Decide(ctx, in); err != nil {
		return d, err
	}
	return d, d.check(in)
}

// check refuses an answer that cannot be carried out. Fails with
// engine.bad_answer.
func (d *Decision) check(in Input) error {
	for _, f := range []float64{d.Risk, d.Savings, d.Gain, d.Confidence} {
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return BadAnswer.New("the engine answered a number that is not finite")
		}
	}
	d.Risk, d.Confidence = clampToUnit(d.Risk), clampToUnit(d.Confidence)
	switch d.Action {
	case Stay:
		d.Mode, d.PoolID = in.Instance.Mode, in.Instance.spotPool()
	case SwitchToOnDemand:
		d.Mode, d.PoolID = agent.OnDemand, ""
	case SwitchToSpot:
		d.Mode = agent.Spot
		if p, known := in.pool(d.PoolID); !known || !in.fits(p) {
			return BadAnswer.New("the engine chose the pool %q, which is not a candidate", d.PoolID)
		}
	default:
		return BadAnswer.New("the engine answered the action %q, which does not exist", d.Action)
	}
	return nil
}

// HoldBack turns a move into a stay when the limits forbid it, or when the agent is
// there already, and keeps what was wanted.
func HoldBack(in Input, d Decision) Decision {
	if !d.AsksForSwitch() {
		return d
	}
	held := d
	held.Action, held.Mode, held.PoolID, held.Gain = Stay, in.Instance.Mode, in.Instance.spotPool(), 0
	held.Savings = in.savingsAt(held.Mode, held.PoolID)
	if d.Mode == in.Instance.Mode && d.PoolID == held.PoolID {
		held.Reason = "The agent is where the engine wants it."
		return held
	}
	vetoes := in.Limits.Judge(in.Now, in.activity(), in.Holds)
	if len(vetoes) == 0 {
		d = in.takeApproved(d)
		if vetoes = in.judgeConsent(d); len(vetoes) == 0 {
			return d
		}
	}
	held.Vetoes = append(held.Vetoes, vetoes...)
	held.Wanted = &Target{Action: d.Action, PoolID: d.PoolID}
	held.Reason = fmt.Sprintf("Held back: %s Wanted: %s", vetoes[0].Reason, d.Reason)
	return held
}

func vetoForError(err error) Veto {
	code := fault.CodeOf(err)
	if code == "" {
		code = Unavailable
	}
	return Veto{code, sentence(err)}
}

// sentence is an error as one line for people: an uploaded engine's error has words of its own.
func sentence(err error) string { return plaintext.CleanLine(err.Error()) }

func clampToUnit(f float64) float64 { return min(max(f, 0), 1) }

// day is the horizon of every probability in this package.
const day = 24 * time.Hour
