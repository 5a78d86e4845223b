package rest

import (
	"context"
	"strconv"
	"time"

	"spotkeeper/internal/postgres"
)

type agentDecisions struct {
	AgentID         string         `json:"agentId"`
	AgentName       string         `json:"agentName"`
	Status          string         `json:"status"`
	CurrentMode     string         `json:"currentMode"`
	CurrentPoolID   *string        `json:"currentPoolId"`
	IsHealthy       bool           `json:"isHealthy"`
	LastHeartbeat   *string        `json:"lastHeartbeat"`
	LastDecision    *lastDecision  `json:"lastDecision"`
	DecisionHistory []pastDecision `json:"decisionHistory"`
	RecentActivity  recentActivity `json:"recentActivity"`
	PricingHealth   pricingHealth  `json:"pricingHealth"`
}

type lastDecision struct {
	Type    string  `json:"type"`
	Time    Time    `json:"time"`
	Elapsed elapsed `json:"elapsed"`
}

// elapsed is how long ago something was. The page appends "ago" itself.
type elapsed struct {
	Minutes   int    `json:"minutes"`
	Formatted string `json:"formatted"`
	Value     int    `json:"value"`
	Unit      string `json:"unit"`
}

type pastDecision struct {
	Type            string  `json:"type"`
	Action          string  `json:"action"`
	RiskScore       float64 `json:"riskScore"`
	ExpectedSavings float64 `json:"expectedSavings"`
	CurrentMode     string  `json:"currentMode"`
	Time            Time    `json:"time"`
}

type recentActivity struct {
	PricingReports []pastReport `json:"pricingReports"`
	SystemEvents   []pastEvent  `json:"systemEvents"`
	HealthStatus   healthStatus `json:"healthStatus"`
}

type pastReport struct {
	Time          Time    `json:"time"`
	OnDemandPrice float64 `json:"onDemandPrice"`
	SpotPrice     float64 `json:"spotPrice"`
}

type pastEvent struct {
	Type     string `json:"type"`
	Severity string `json:"severity"`
	Message  string `json:"message"`
	Time     Time   `json:"time"`
}

type healthStatus struct {
	Overall            string `json:"overall"`
	Heartbeat          string `json:"heartbeat"`
	Activity           string `json:"activity"`
	RecentReportsCount int    `json:"recentReportsCount"`
	DecisionCount      int    `json:"decisionCount"`
}

type pricingHealth struct {
	Status             string       `json:"status"`
	RecentReportsCount int          `json:"recentReportsCount"`
	RecentReports      []pastReport `json:"recentReports"`
}

// beatWithin is how old a heartbeat of a healthy agent may be.
const beatWithin = 5 * time.Minute

// healthyReports is what the page promises of a green light: five in ten minutes.
const healthyReports = 5

func (p *ClientPages) decisions(ctx context.Context, in *clientListRequest) (*[]agentDecisions, error) {
	found, err := p.Views.AgentDecisions(ctx, in.ClientID, in.page())
	found, err = turned(&in.paging, found, err, func(a postgres.AgentDecisions) postgres.Cursor {
		return postgres.Cursor{ID: a.LogicalID}
	})
	return each(found, err, decisionsOf)
}

func decisionsOf(a postgres.AgentDecisions) agentDecisions {
	beating := a.SinceBeat != nil && *a.SinceBeat <= beatWithin.Seconds()
	busy := a.ReportCount > 0 || len(a.Decisions) > 0
	healthy := a.Status == "online" && beating && busy
	out := agentDecisions{
		AgentID: a.AgentID, AgentName: a.AgentName, Status: a.Status, CurrentMode: a.CurrentMode, CurrentPoolID: spotPool(a.CurrentMode, text(a.CurrentPoolID)),
		IsHealthy: healthy, LastHeartbeat: agoOf(a.SinceBeat), DecisionHistory: []pastDecision{},
		RecentActivity: recentActivity{PricingReports: []pastReport{}, SystemEvents: []pastEvent{}, HealthStatus: healthStatus{
			Overall: word(healthy, "healthy", "unhealthy"), Heartbeat: word(beating, "active", "stale"), Activity: word(busy, "active", "inactive"),
			RecentReportsCount: a.ReportCount, DecisionCount: len(a.Decisions),
		}},
	}
	for _, d := range a.Decisions {
		out.DecisionHistory = append(out.DecisionHistory, pastDecision{Type: d.Action, Action: d.Action, RiskScore: d.RiskScore, ExpectedSavings: d.ExpectedSavings, CurrentMode: d.CurrentMode, Time: Time{d.At}})
	}
	if len(a.Decisions) > 0 {
		d := a.Decisions[0]
		out.LastDecision = &lastDecision{Type: d.Action, Time: Time{d.At}, Elapsed: elapsedOf(d.Age)}
	}
	for _, r := range a.Reports {
		out.RecentActivity.PricingReports = append(out.RecentActivity.PricingReports, pastReport{Time: Time{r.At}, OnDemandPrice: r.OnDemand, SpotPrice: r.Spot})
	}
	for _, e := range a.Events {
		out.RecentActivity.SystemEvents = append(out.RecentActivity.SystemEvents, pastEvent{Type: e.Type, Severity: e.Severity, Message: e.Message, Time: Time{e.At}})
	}
	out.PricingHealth = pricingHealth{Status: word(a.ReportCount >= healthyReports, "healthy", "unhealthy"), RecentReportsCount: a.ReportCount, RecentReports: out.RecentActivity.PricingReports}
	return out
}

// elapsedOf tells seconds in the unit in which people say them.
func elapsedOf(seconds float64) elapsed {
	minutes := max(0, int(seconds/60))
	e := elapsed{Minutes: minutes, Value: minutes, Unit: "min"}
	switch {
	case minutes >= 48*60:
		e.Value, e.Unit = minutes/(24*60), "d"
	case minutes >= 60:
		e.Value, e.Unit = minutes/60, "h"
	}
	e.Formatted = strconv.Itoa(e.Value) + " " + e.Unit
	return e
}

func agoOf(seconds *float64) *string {
	if seconds == nil {
		return nil
	}
	minutes := int(*seconds / 60)
	ago := "< 1 min ago"
	switch {
	case minutes >= 60:
		ago = strconv.Itoa(minutes/60) + "h ago"
	case minutes >= 1:
		ago = strconv.Itoa(minutes) + " min ago"
	}
	return &ago
}

func word(yes bool, then, otherwise string) string {
	if yes {
		return then
	}
	return otherwise
}
