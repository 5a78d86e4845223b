package agents

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/engine"
	agentstore "spotkeeper/internal/postgres/agents"
	"spotkeeper/internal/postgres/decisions"
)

// playedTypes are the instance types of a region.
type playedTypes agentstore.TypesOf

func (p playedTypes) Load(context.Context, string, string) (*agentstore.TypesOf, error) {
	return (*agentstore.TypesOf)(&p), nil
}

// TestExplainedTypes: which types are considered for a replacement, and why another is not.
func TestExplainedTypes(t *testing.T) {
	t.Parallel()
	fact := func(name string, vcpus int) replica.TypeFacts {
		return replica.TypeFacts{Name: name, VCPUs: vcpus, MemoryMiB: 8192, Architectures: []string{"x86_64"}, Current: true}
	}
	types := playedTypes{Present: "m5.large", Architecture: "x86_64",
		Types: []replica.TypeFacts{fact("m5.large", 2), fact("m6i.large", 2), fact("m5.8xlarge", 32)}}
	got, _, err := (&Decisions{Types: types}).explainTypes(t.Context(), "c1", "a1")
	require.NoError(t, err)
	text, err := web.EncodeJSON(got)
	require.NoError(t, err)
	var answer struct {
		Present    string                        `json:"instance_type"`
		Considered []string                      `json:"considered"`
		Others     []struct{ Why string }        `json:"others"`
		Needs      struct{ Architecture string } `json:"requirements"`
	}
	require.NoError(t, json.Unmarshal(text, &answer))
	require.Equal(t, "m5.large", answer.Present)
	require.ElementsMatch(t, []string{"m5.large", "m6i.large"}, answer.Considered)
	require.Len(t, answer.Others, 1)
	require.NotEmpty(t, answer.Others[0].Why)
	require.Equal(t, "x86_64", answer.Needs.Architecture)
}

// TestExplanationParts: each fact of an explanation has its own member. No two values are
// the same, so two members that are exchanged are seen.
func TestExplanationParts(t *testing.T) {
	t.Parallel()
	moments := make([]time.Time, 4)
	words := []string{}
	for n := range moments {
		moments[n] = time.Date(2026, 3, 1, n, 0, 0, 0, time.UTC)
		raw, err := json.Marshal(web.TimeOf(moments[n]))
		require.NoError(t, err)
		words = append(words, "T"+string(rune('0'+n)), string(raw))
	}
	pool, other, code, impact := "p-1", "p-2", "launch.failed", 0.25
	for name, tc := range map[string]struct {
		part any
		want string // T0 to T3 are the moments
	}{
		"judgement": {
			part: judgementOf(engine.Decision{
				Action: engine.Stay, Mode: agent.Spot, PoolID: pool, Risk: 0.1, Savings: 0.2, Gain: 0.3, Confidence: 0.4,
				Reason: "why", Engine: "rules", Version: "3",
				Scores: []engine.Score{{
					Mode: agent.Spot, PoolID: other, AZ: "us-east-1b", Price: 0.5, SavingsPercent: 60, Risk: 0.7, Cost: 0.8, Gain: 0.9,
				}},
			}),
			want: `{"action": "` + string(engine.Stay) + `", "mode": "spot", "pool_id": "p-1", "wanted": null, "risk_score": 0.1,
				"expected_savings_per_hour": 0.2, "gain_per_hour": 0.3, "confidence": 0.4, "reason": "why", "vetoes": [],
				"scores": [{"mode": "spot", "pool_id": "p-2", "az": "us-east-1b", "price": 0.5, "savings_percent": 60,
					"risk": 0.7, "cost": 0.8, "gain": 0.9}],
				"engine": "rules", "engine_version": "3"}`,
		},
		"limits": {
			part: limitsOf(engine.Limits{
				MinSavingsPercent: 1, RiskThreshold: 2, MaxSwitchesPerWeek: 3, MaxSwitchesPerDay: 4,
				MinPoolDuration: 5 * time.Hour, CoolDown: 6 * time.Minute, MaxMovingPercent: 7, MaxFleetMovingPercent: 8,
			}),
			want: `{"min_savings_percent": 1, "risk_threshold": 2, "max_switches_per_week": 3, "max_switches_per_day": 4,
				"min_pool_duration_hours": 5, "cool_down_minutes": 6, "max_moving_percent": 7, "max_fleet_moving_percent": 8}`,
		},
		"activity": {
			part: activityOf(engine.Activity{SwitchesDay: 1, SwitchesWeek: 2, LastChangeAt: moments[0], PoolSince: moments[1]}),
			want: `{"switches_day": 1, "switches_week": 2, "last_change_at": T0, "pool_since": T1}`,
		},
		"holds": {
			part: holdsOf(engine.Blockers{
				Pauses: []engine.Pause{{Scope: engine.Scope("client"), Until: moments[2], Reason: "sale"}},
				Notice: "termination-notice", Operation: "switch/1", ClientAgents: 5, ClientMoving: 2,
			}),
			want: `{"pauses": [{"scope": "client", "until": T2, "reason": "sale"}], "notice": "termination-notice",
				"operation_id": "switch/1", "client_moving": 2, "client_agents": 5}`,
		},
		"switch": {
			part: explainSwitchOf(decisions.MadeSwitch{
				At: moments[3], OperationID: "switch/2", Trigger: "cost", By: "agent", Phase: "done", FromMode: "spot",
				FromPool: &pool, ToMode: "ondemand", ToPool: &other, SavingsImpact: &impact, ErrorCode: &code, Reason: "cheaper",
			}),
			want: `{"at": T3, "operation_id": "switch/2", "trigger": "cost", "by": "agent", "phase": "done",
				"from_mode": "spot", "from_pool_id": "p-1", "to_mode": "ondemand", "to_pool_id": "p-2",
				"savings_impact_per_hour": 0.25, "error_code": "launch.failed", "reason": "cheaper"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := json.Marshal(tc.part)
			require.NoError(t, err)
			require.JSONEq(t, strings.NewReplacer(words...).Replace(tc.want), string(got))
		})
	}
	first, err := json.Marshal(madeDecisionOf(decisions.MadeDecision{At: moments[1], FirstAt: moments[0], Count: 3}))
	require.NoError(t, err)
	require.Contains(t, string(first), strings.NewReplacer(words...).Replace(`"at":T1,"first_at":T0,"count":3`))
}
