package engine

import (
	"fmt"
	"time"

	"spotkeeper/internal/domain/agent"
)

// Rebalance is the answer to a rebalance recommendation.
type Rebalance struct {
	Action string  // "monitor" or "switch"
	Risk   float64 // interruptions per day in the present pool, at most 1
	Reason string
	Target *Pool // for "switch"
}

// JudgeRebalance answers a rebalance recommendation by the rule the deployed
// agents were built with: the present pool's interruptions in 30 days, divided
// by 30, against the threshold; then the pool of the same type and region in
// another zone with the fewest interruptions, of equal ones the cheapest.
func JudgeRebalance(now time.Time, i Instance, pools []Pool, threshold float64) Rebalance {
	var risk float64
	var target *Pool
	for _, p := range pools {
		if p.Interruptions == nil {
			continue
		}
		switch {
		case p.ID == i.spotPool():
			risk = min(float64(p.Interruptions.Count)/(StatisticsWindow.Hours()/24), 1)
		case p.Type != i.Type || p.Region != i.Region || p.AZ == i.AZ || now.Before(p.BlockedUntil):
		case target == nil || isSafer(p, *target):
			target = &p
		}
	}
	switch {
	case risk <= threshold:
		return Rebalance{
			Action: "monitor",
			Risk:   risk,
			Reason: fmt.Sprintf("Risk is acceptable (%.2f%%), continuing to monitor", risk*100),
		}
	case target == nil:
		return Rebalance{
			Action: "monitor",
			Risk:   risk,
			Reason: fmt.Sprintf("Current pool has elevated interruption risk (%.2f%%), but no other pool is known",
				risk*100),
		}
	default:
		return Rebalance{
			Action: "switch",
			Risk:   risk,
			Target: target,
			Reason: fmt.Sprintf("Current pool has elevated interruption risk (%.2f%%)", risk*100),
		}
	}
}

// isSafer orders pools by interruptions, then price, then name; unknown prices
// come last.
func isSafer(a, b Pool) bool {
	if a.Interruptions.Count != b.Interruptions.Count {
		return a.Interruptions.Count < b.Interruptions.Count
	}
	if a.Price.IsKnown() != b.Price.IsKnown() {
		return a.Price.IsKnown()
	}
	if a.Price.IsKnown() && a.Price.USD != b.Price.USD {
		return a.Price.USD < b.Price.USD
	}
	return a.ID < b.ID
}

// modeKnown says whether the instance is bought in a way we understand.
func (i Instance) modeKnown() bool { return i.Mode == agent.Spot || i.Mode == agent.OnDemand }
