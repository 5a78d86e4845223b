package pages

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/api/web"
	"spotkeeper/internal/postgres/views"
)

// at is a moment of a test, some seconds after a fixed one.
func at(seconds int) time.Time { return time.Date(2026, 3, 1, 0, 0, seconds, 0, time.UTC) }

// requireJSON requires that an answer is written so. Each member has a value of its own, so
// that one which is filled from another's field fails.
func requireJSON(t *testing.T, want string, answer any) {
	t.Helper()
	got, err := web.EncodeJSON(answer)
	require.NoError(t, err)
	require.JSONEq(t, want, string(got))
}

// playedViews answer with what a test says.
type playedViews struct {
	ConsoleViews

	overview      views.Overview
	interruptions []views.PoolInterruptions
}

func (p *playedViews) Overview(context.Context, string) (*views.Overview, error) {
	return &p.overview, nil
}

func (p *playedViews) InterruptionsLastDay(context.Context, string) ([]views.PoolInterruptions, error) {
	return p.interruptions, nil
}

// TestOverviewMembers: each count of the fleet has its own member.
func TestOverviewMembers(t *testing.T) {
	t.Parallel()
	c := &Console{Now: func() time.Time { return at(0) }, Views: &playedViews{
		overview: views.Overview{
			Agents: 1, Online: 2, Offline: 3, Disabled: 4, WithoutPrimary: 5, WithoutStandby: 6, Instances: 7, Standbys: 8,
			Operations: 9, Failed: 10, Undelivered: 11, OldestUndecided: 12.5, Hourly: 13.5, OnDemandHourly: 14.5,
			StandbyHourly: 15.5, Unpriced: 16,
		},
		interruptions: []views.PoolInterruptions{{PoolID: "m5.large.us-east-1a", Terminations: 17, Rebalances: 18}},
	}}
	got, err := c.overview(t.Context(), &overviewRequest{})
	require.NoError(t, err)
	requireJSON(t, `{"at": "2026-03-01T00:00:00.000Z",
		"agents": {"total": 1, "online": 2, "offline": 3, "disabled": 4, "without_primary": 5, "without_standby": 6},
		"instances": 7, "standbys": 8, "operations_running": 9, "operations_failed_last_day": 10, "notices_undelivered": 11,
		"oldest_undelivered_seconds": 12.5,
		"cost": {"hourly": 13.5, "on_demand_hourly": 14.5, "standby_hourly": 15.5, "unpriced": 16},
		"interruptions_last_day": [{"pool_id": "m5.large.us-east-1a", "terminations": 17, "rebalances": 18}]}`, got)
}

// TestVersionMembers: where the program is, and where its Temporal is looked at.
func TestVersionMembers(t *testing.T) {
	t.Parallel()
	c := &Console{About: About{Started: at(1), TemporalUI: "https://temporal", Namespace: "spot", ConsolePath: "/console/"}}
	answer, err := c.version(t.Context(), nil)
	require.NoError(t, err)
	text, err := web.EncodeJSON(answer)
	require.NoError(t, err)
	var got map[string]any
	require.NoError(t, json.Unmarshal(text, &got))
	require.Equal(t, "https://temporal", got["temporal_ui_url"])
	require.Equal(t, "spot", got["temporal_namespace"])
	require.Equal(t, "/console/", got["console_path"])
	require.Contains(t, got, "commit")
}

// TestPoolMembers: a rate is the interruptions of a week by the days that instances ran in it.
func TestPoolMembers(t *testing.T) {
	t.Parallel()
	pool := views.PoolView{
		ID: "m5.large.us-east-1a", InstanceType: "m5.large", Region: "us-east-1", AZ: "us-east-1a", Price: new(.02),
		PriceAt: new(at(1)), OnDemand: new(.08), Terminations: 1, Rebalances: 2, InstanceDays: 8, Interrupted: 4, Refused: 5,
		LastRefusal: new("launch.no_capacity"), RetryAfter: new(at(2)), Score: new(int64(6)), Recommended: 7, CameTrue: 9,
		LeadSeconds: new(10.5), Announced: 11, Ours: 12, Primaries: 13,
	}
	requireJSON(t, `{"id": "m5.large.us-east-1a", "instance_type": "m5.large", "region": "us-east-1", "az": "us-east-1a",
		"price": 0.02, "price_at": "2026-03-01T00:00:01.000Z", "on_demand_price": 0.08, "price_ratio": 0.25,
		"terminations_last_day": 1, "rebalances_last_day": 2, "instance_days_last_week": 8,
		"interruptions_per_instance_day": 0.5, "launches_refused_last_hour": 5, "last_refusal": "launch.no_capacity",
		"retry_after": "2026-03-01T00:00:02.000Z", "placement_score": 6, "recommendations_last_month": 7,
		"recommendations_came_true": 9, "recommendation_lead_seconds": 10.5, "terminations_last_month": 11, "instances": 12,
		"primaries": 13}`, poolOf(pool))
	pool.InstanceDays = enoughDays / 2
	require.Nil(t, poolOf(pool).Rate, "too little ran in it to say")
}

// TestReportedPriceMembers: what an agent reported beside what EC2 shows.
func TestReportedPriceMembers(t *testing.T) {
	t.Parallel()
	requireJSON(t, `{"pool_id": "m5.large.us-east-1a", "instance_type": "m5.large", "region": "us-east-1", "az": "us-east-1a",
		"price": 0.1, "observed_at": "2026-03-01T00:00:01.000Z", "agent_id": "a1", "instance_id": "i-1", "counts": false,
		"worth": "out_of_band", "market_price": 0.2, "market_observed_at": "2026-03-01T00:00:02.000Z",
		"difference_percent": -50}`, reportedPriceOf(views.ReportedPrice{
		PoolID: "m5.large.us-east-1a", InstanceType: "m5.large", Region: "us-east-1", AZ: "us-east-1a", Price: .1,
		ObservedAt: at(1), AgentID: "a1", InstanceID: new("i-1"), Worth: "out_of_band", Market: new(.2), MarketAt: new(at(2)),
		Difference: new(-50.0),
	}))
}

// TestNoticeMembers: when a notice came, was delivered and decided, and what follows it.
func TestNoticeMembers(t *testing.T) {
	t.Parallel()
	requireJSON(t, `{"client_id": "c1", "client_name": "Acme", "agent_id": "a1", "agent_name": "web-1", "instance_id": "i-1",
		"pool_id": "m5.large.us-east-1a", "kind": "termination-notice", "door": "http", "action": "stop", "arrivals": 2,
		"arrived_at": "2026-03-01T00:00:01.000Z", "received_at": "2026-03-01T00:00:02.000Z",
		"delivered_at": "2026-03-01T00:00:03.000Z", "decided_at": "2026-03-01T00:00:05.000Z", "decided_ms": 4000,
		"deadline": "2026-03-01T00:00:59.000Z", "result": "promoted", "new_primary": "i-2",
		"operation_id": "termination/a1/i-1", "operation_state": "running", "phase": "promoting", "open": true}`,
		noticeOf(views.NoticeView{
			ClientID: "c1", ClientName: "Acme", AgentID: "a1", LogicalAgentID: "web-1", InstanceID: "i-1",
			PoolID: "m5.large.us-east-1a", Kind: "termination-notice", Door: "http", Action: "stop", Arrivals: 2, ArrivedAt: at(1),
			ReceivedAt: at(2), DeliveredAt: new(at(3)), DecidedAt: new(at(5)), Deadline: at(59), Result: "promoted",
			NewPrimary: new("i-2"), OperationID: new("termination/a1/i-1"), OperationState: new("running"),
			Phase: new("promoting"), Open: true,
		}))
}

// TestDecidingEngineMembers: the share of agreement and the regret are of what was compared.
func TestDecidingEngineMembers(t *testing.T) {
	t.Parallel()
	engine := views.EngineView{Engine: "rules", Version: "1", Shadow: true, Decisions: 2, Agents: 3, Moves: 4, Compared: 8,
		Agreed: 6, LiveMoves: 5, Regret: .01}
	requireJSON(t, `{"engine": "rules", "version": "1", "shadow": true, "decisions": 2, "agents": 3, "moves": 4, "compared": 8,
		"agreed": 6, "live_moves": 5, "agreement": 0.75, "regret_per_hour": 0.01}`, newEngineCount(engine))
	engine.Compared = 0
	require.Nil(t, newEngineCount(engine).Agreement)
}

// TestAgentDecisionMembers: the newest decision, the reports and the events of an agent.
func TestAgentDecisionMembers(t *testing.T) {
	t.Parallel()
	text := appendDecisions(nil, &views.AgentDecisions{
		AgentID: "a1", AgentName: "web-1", Status: "online", CurrentMode: "spot", CurrentPool: "m5.large.us-east-1a",
		SinceBeat: new(5.0), ReportCount: 3,
		Decisions: []views.PastDecision{{Action: "stay", RiskScore: .25, ExpectedSavings: .5, CurrentMode: "spot", At: at(1)}},
		Reports:   []views.PastReport{{At: at(2), OnDemand: .75, Spot: .125}},
		Events:    []views.PastEvent{{Type: "agent_registered", Severity: "info", Message: "here", At: at(3)}},
	})
	var got struct {
		Decisions      []map[string]any `json:"decisionHistory"`
		RecentActivity struct {
			Reports []map[string]any `json:"pricingReports"`
			Events  []map[string]any `json:"systemEvents"`
		} `json:"recentActivity"`
	}
	require.NoError(t, json.Unmarshal(text, &got), string(text))
	require.Len(t, got.Decisions, 1, string(text))
	require.InDelta(t, .25, got.Decisions[0]["riskScore"], 0)
	require.InDelta(t, .5, got.Decisions[0]["expectedSavings"], 0)
	require.Len(t, got.RecentActivity.Reports, 1)
	require.InDelta(t, .75, got.RecentActivity.Reports[0]["onDemandPrice"], 0)
	require.InDelta(t, .125, got.RecentActivity.Reports[0]["spotPrice"], 0)
	require.Len(t, got.RecentActivity.Events, 1)
	require.Equal(t, "here", got.RecentActivity.Events[0]["message"])
}
