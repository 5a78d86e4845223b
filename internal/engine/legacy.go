package engine

import (
	"context"
	"fmt"

	"spotkeeper/internal/domain/agent"
)

// Legacy is the engine of the backend that this one replaces, rule for rule,
// with its faults: a missing spot price counts as 0, only the present pool is
// looked at, and no limit is known. It exists to be measured against.
type Legacy struct{}

// The constants of the legacy rules.
const (
	legacyTooHigh    = 0.8  // spot above this share of on-demand: leave
	legacyGoodSaving = 30.0 // percent; above it: go to spot
)

// Name is "legacy".
func (Legacy) Name() string { return "legacy" }

// Version is the one the legacy engine gave itself.
func (Legacy) Version() string { return "1.0.0" }

// Decide applies the first rule that matches.
func (Legacy) Decide(_ context.Context, in Input) (Decision, error) {
	spot, poolID := in.legacySpot()
	reference := in.OnDemand.USD
	d := Decision{Action: Stay, Mode: in.Instance.Mode, PoolID: in.Instance.spotPool()}
	if reference == 0 {
		d.PoolID, d.Confidence, d.Reason = "", 0.5, "Insufficient pricing data"
		return d, nil
	}
	saving := (reference - spot) / reference * 100
	switch {
	case spot/reference > legacyTooHigh:
		d.Action, d.Mode, d.PoolID = SwitchToOnDemand, agent.OnDemand, ""
		d.Risk, d.Confidence = 0.6, 0.7
		d.Reason = fmt.Sprintf("Spot price too high (%.1f%% savings only)", saving)
	case saving > legacyGoodSaving && in.Instance.Mode != agent.Spot:
		d.Action, d.Mode, d.PoolID = SwitchToSpot, agent.Spot, poolID
		d.Risk, d.Savings, d.Confidence = 0.2, reference-spot, 0.8
		d.Reason = fmt.Sprintf("Good savings opportunity (%.1f%% cheaper than on-demand)", saving)
	default:
		d.Risk, d.Savings, d.Confidence = 0.3, max(0, reference-spot), 0.6
		d.Reason = fmt.Sprintf("Current mode is optimal (%.1f%% savings)", saving)
	}
	return d, nil
}

// legacySpot is what the legacy tables held for the instance: the price of its
// pool, or of the pool of its zone when it runs on demand, and 0 when unknown.
func (in Input) legacySpot() (float64, string) {
	id := in.Instance.PoolID
	if id == "" {
		id = agent.PoolID(in.Instance.Type, in.Instance.AZ)
	}
	p, known := in.pool(id)
	if !known {
		return 0, in.Instance.PoolID
	}
	return p.Price.USD, id
}
