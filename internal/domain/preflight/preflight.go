// Package preflight defines what is checked in calm, so that a replacement does not fail in
// an emergency. It is pure.
package preflight

import "time"

// Result is how a check went.
type Result string

// Results.
const (
	OK      Result = "ok"
	Failed  Result = "failed"  // a replacement would fail
	Warning Result = "warning" // a replacement works and lacks something
	Unknown Result = "unknown" // it could not be checked
)

// Check is one row: what was checked, how it went, and what to do.
type Check struct {
	Name   string `json:"name"`
	Result Result `json:"result"`
	Detail string `json:"detail,omitempty"`
	Repair string `json:"repair,omitempty"`
}

// Report is all checks of one agent.
type Report struct {
	AgentID   string    `json:"agent_id"`
	CheckedAt time.Time `json:"checked_at"`
	Result    Result    `json:"result"` // the worst of the checks
	Checks    []Check   `json:"checks"`
}

// order is how bad results are.
var order = map[Result]int{OK: 0, Unknown: 1, Warning: 2, Failed: 3}

// WorstResult returns the worst result of checks, ok when there are none.
func WorstResult(checks []Check) Result {
	worst := OK
	for _, c := range checks {
		if order[c.Result] > order[worst] {
			worst = c.Result
		}
	}
	return worst
}
