package pages

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/postgres/views"
)

// words are texts for answers, some of which have to be quoted.
var words = []string{"", "web-1", "us-east-1a", `a "name"`, "größer", "line\nbreak"}

func anyWord(r *rand.Rand) string { return words[r.IntN(len(words))] }

func anyTime(r *rand.Rand) time.Time {
	if r.IntN(4) == 0 {
		return time.Time{}
	}
	return time.Unix(r.Int64N(2_000_000_000), r.Int64N(1e9)).In(time.FixedZone("", 3600*r.IntN(5)))
}

// presentAgentOf is an agent as its documented type.
func presentAgentOf(a views.ClientAgent) presentAgent {
	out := presentAgent{
		clientAgent: clientAgent{
			ID:             a.ID,
			LogicalAgentID: a.LogicalAgentID,
			Status:         string(a.Status),
			LastHeartbeat:  web.NewTime(&a.LastHeartbeat),
			Enabled:        a.Enabled,
			AutoSwitch:     a.Keeping == agent.KeepAuto,
			Manual:         a.Keeping == agent.KeepManual,
		},
		InstanceCount: a.InstanceCount,
		AutoTerminate: a.AutoTerminate,
		WaitMinutes:   a.TerminateWait / 60,
		Version:       a.AgentVersion,
	}
	if i := a.Primary; i != nil {
		out.InstanceID, out.InstanceType, out.Region, out.AZ, out.Mode = &i.ID, &i.InstanceType, &i.Region, &i.AZ, &i.Mode
	}
	return out
}

// TestAgentsAreWrittenAsDocumented: with and without a primary.
func TestAgentsAreWrittenAsDocumented(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // reproducible agents
	for range 200 {
		found, plain := []views.ClientAgent{}, []presentAgent{}
		for range r.IntN(4) {
			a := views.ClientAgent{
				ID:             anyWord(r),
				LogicalAgentID: anyWord(r),
				Status:         agent.Status(anyWord(r)),
				AgentVersion:   anyWord(r),
				Keeping:        []agent.StandbyMode{agent.KeepAuto, agent.KeepManual, agent.KeepOff}[r.IntN(3)],
				Enabled:        r.IntN(2) > 0,
				AutoTerminate:  r.IntN(2) > 0,
				TerminateWait:  r.IntN(4000),
				LastHeartbeat:  anyTime(r),
				InstanceCount:  r.IntN(3),
			}
			if r.IntN(3) > 0 {
				a.Primary = &views.PrimaryPlace{
					ID:           anyWord(r),
					InstanceType: anyWord(r),
					Region:       anyWord(r),
					AZ:           anyWord(r),
					Mode:         anyWord(r),
				}
			}
			found, plain = append(found, a), append(plain, presentAgentOf(a))
		}
		want, err := web.EncodeJSON(plain)
		require.NoError(t, err)
		require.Equal(t, string(want),
			string(*web.FinishAnswer[[]presentAgent](web.AppendList(nil, found, appendAgent))))
	}
}

// agentDecisionsOf is what an agent decided as its documented type.
func agentDecisionsOf(a views.AgentDecisions) agentDecisions {
	w := wellBeingOf(&a)
	light := web.ChooseWord(a.ReportCount >= healthyReports, "healthy", "unhealthy")
	out := agentDecisions{
		AgentID:         a.AgentID,
		AgentName:       a.AgentName,
		Status:          a.Status,
		CurrentMode:     a.CurrentMode,
		CurrentPoolID:   spotPool(a.CurrentMode, a.CurrentPool),
		IsHealthy:       w.healthy,
		LastHeartbeat:   formatAgo(a.SinceBeat),
		DecisionHistory: []pastDecision{},
		RecentActivity: recentActivity{
			PricingReports: []pastReport{},
			SystemEvents:   []pastEvent{},
			HealthStatus: healthStatus{
				Overall:            web.ChooseWord(w.healthy, "healthy", "unhealthy"),
				Heartbeat:          web.ChooseWord(w.beating, "active", "stale"),
				Activity:           web.ChooseWord(w.busy, "active", "inactive"),
				RecentReportsCount: a.ReportCount,
				DecisionCount:      len(a.Decisions),
			},
		},
	}
	for i, d := range a.Decisions {
		if i == 0 {
			out.LastDecision = &lastDecision{
				Type:    d.Action,
				Time:    web.TimeOf(d.At),
				Elapsed: elapsedOf(d.Age.Seconds()),
			}
		}
		out.DecisionHistory = append(out.DecisionHistory, pastDecision{
			Type: d.Action, Action: d.Action, RiskScore: d.RiskScore, ExpectedSavings: d.ExpectedSavings,
			CurrentMode: d.CurrentMode, Time: web.TimeOf(d.At),
		})
	}
	activity := &out.RecentActivity
	for _, r := range a.Reports {
		activity.PricingReports = append(activity.PricingReports, pastReport{
			Time:          web.TimeOf(r.At),
			OnDemandPrice: r.OnDemand,
			SpotPrice:     r.Spot,
		})
	}
	for _, e := range a.Events {
		activity.SystemEvents = append(activity.SystemEvents, pastEvent{
			Type:     e.Type,
			Severity: e.Severity,
			Message:  e.Message,
			Time:     web.TimeOf(e.At),
		})
	}
	out.PricingHealth = pricingHealth{
		Status:             light,
		RecentReportsCount: a.ReportCount,
		RecentReports:      activity.PricingReports,
	}
	return out
}

// TestDecisionsAreWrittenAsDocumented: with much of a past, and with none.
func TestDecisionsAreWrittenAsDocumented(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6)) //nolint:gosec // reproducible agents
	for range 200 {
		found, plain := []views.AgentDecisions{}, []agentDecisions{}
		for range r.IntN(4) {
			a := views.AgentDecisions{
				AgentID:     anyWord(r),
				LogicalID:   anyWord(r),
				AgentName:   anyWord(r),
				Status:      []string{"online", "offline"}[r.IntN(2)],
				CurrentMode: []string{"spot", "ondemand", "unknown"}[r.IntN(3)],
				CurrentPool: anyWord(r),
				ReportCount: r.IntN(9),
			}
			if r.IntN(4) > 0 {
				seconds := r.Float64() * 10_000
				a.SinceBeat = &seconds
			}
			for range r.IntN(6) {
				a.Decisions = append(a.Decisions, views.PastDecision{
					Action:          anyWord(r),
					RiskScore:       r.Float64(),
					ExpectedSavings: r.Float64() - 0.5,
					CurrentMode:     anyWord(r),
					At:              anyTime(r),
					Age:             time.Duration(r.Int64N(int64(100 * time.Hour))),
				})
			}
			for range r.IntN(6) {
				a.Reports = append(a.Reports, views.PastReport{
					At:       anyTime(r),
					OnDemand: r.Float64(),
					Spot:     r.Float64() / 1e6,
				})
				a.Events = append(a.Events, views.PastEvent{
					Type:     anyWord(r),
					Severity: anyWord(r),
					Message:  anyWord(r),
					At:       anyTime(r),
				})
			}
			found, plain = append(found, a), append(plain, agentDecisionsOf(a))
		}
		want, err := web.EncodeJSON(plain)
		require.NoError(t, err)
		require.Equal(t, string(want),
			string(*web.FinishAnswer[[]agentDecisions](web.AppendList(nil, found, appendDecisions))))
	}
}
