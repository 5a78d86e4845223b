package engine_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var now = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

const (
	poolA = "t3.medium.us-east-1a"
	poolB = "t3.medium.us-east-1b"
	poolC = "t3.medium.us-east-1c"
)

// pool is a well-known pool with a flat price of a day and a month of calm.
func pool(az string, usd float64) engine.Pool {
	return engine.Pool{
		ID: agent.PoolID("t3.medium", az), Type: "t3.medium", Region: "us-east-1", AZ: az,
		Price:         engine.Price{USD: usd, At: now.Add(-time.Minute)},
		History:       []engine.Price{{USD: usd, At: now.Add(-24 * time.Hour)}},
		Interruptions: &engine.Interruptions{InstanceHours: 1000},
	}
}

// onSpot is an agent that has lived in pool A for a week and has two others to
// go to.
func onSpot(a, b, c float64) engine.Input {
	return engine.Input{
		Now:   now,
		Agent: engine.Agent{ID: "a1", ClientID: "c1", Enabled: true, AutoSwitch: true},
		Instance: engine.Instance{
			ID: "i-1", Type: "t3.medium", Region: "us-east-1", AZ: "us-east-1a",
			Mode: agent.Spot, PoolID: poolA, LaunchedAt: now.Add(-7 * 24 * time.Hour),
		},
		OnDemand: engine.Price{USD: 0.1, At: now.Add(-time.Hour)},
		Pools:    []engine.Pool{pool("us-east-1a", a), pool("us-east-1b", b), pool("us-east-1c", c)},
		Limits:   engine.DefaultLimits(),
	}
}

// onDemand is the same agent bought on demand.
func onDemand(a, b, c float64) engine.Input {
	in := onSpot(a, b, c)
	in.Instance.Mode, in.Instance.PoolID = agent.OnDemand, ""
	return in
}

func codes(vetoes []engine.Veto) []string {
	out := []string{}
	for _, v := range vetoes {
		out = append(out, string(v.Code))
	}
	return out
}
