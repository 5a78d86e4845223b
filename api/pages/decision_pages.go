package pages

import (
	"context"
	"strconv"
	"time"

	"spotkeeper/api/web"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/postgres/views"
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
	Type    string   `json:"type"`
	Time    web.Time `json:"time"`
	Elapsed elapsed  `json:"elapsed"`
}

// elapsed is how long ago something was. The page appends "ago" itself.
type elapsed struct {
	Minutes   int    `json:"minutes"`
	Formatted string `json:"formatted"`
	Value     int    `json:"value"`
	Unit      string `json:"unit"`
}

type pastDecision struct {
	Type            string   `json:"type"`
	Action          string   `json:"action"`
	RiskScore       float64  `json:"riskScore"`
	ExpectedSavings float64  `json:"expectedSavings"`
	CurrentMode     string   `json:"currentMode"`
	Time            web.Time `json:"time"`
}

type recentActivity struct {
	PricingReports []pastReport `json:"pricingReports"`
	SystemEvents   []pastEvent  `json:"systemEvents"`
	HealthStatus   healthStatus `json:"healthStatus"`
}

type pastReport struct {
	Time          web.Time `json:"time"`
	OnDemandPrice float64  `json:"onDemandPrice"`
	SpotPrice     float64  `json:"spotPrice"`
}

type pastEvent struct {
	Type     string   `json:"type"`
	Severity string   `json:"severity"`
	Message  string   `json:"message"`
	Time     web.Time `json:"time"`
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

func (p *ClientPages) decisions(
	ctx context.Context,
	in *web.ClientListRequest,
) (*web.Written[[]agentDecisions], error) {
	found, err := p.Views.AgentDecisions(ctx, in.ClientID, in.Page())
	found, err = web.FinishPage(&in.Paging, found, err, func(a views.AgentDecisions) pg.Cursor {
		return pg.Cursor{ID: a.LogicalID}
	})
	if err != nil {
		return nil, err
	}
	size := 64
	for n := range found {
		size += 700 + 140*len(found[n].Decisions) + 160*len(found[n].Reports) + 160*len(found[n].Events)
	}
	return web.FinishAnswer[[]agentDecisions](web.AppendList(make([]byte, 0, size), found, appendDecisions)), nil
}

// wellBeing is the health of an agent as the page shows it.
type wellBeing struct{ beating, busy, healthy bool }

func wellBeingOf(a *views.AgentDecisions) wellBeing {
	w := wellBeing{
		beating: a.SinceBeat != nil && *a.SinceBeat <= beatWithin.Seconds(),
		busy:    a.ReportCount > 0 || len(a.Decisions) > 0,
	}
	w.healthy = a.Status == "online" && w.beating && w.busy
	return w
}

// appendDecisions appends an agentDecisions. The reports are in it twice.
func appendDecisions(b []byte, a *views.AgentDecisions) []byte {
	w := wellBeingOf(a)
	b = web.AppendText(append(b, `{"agentId":`...), a.AgentID)
	b = web.AppendText(append(b, `,"agentName":`...), a.AgentName)
	b = web.AppendText(append(b, `,"status":`...), a.Status)
	b = web.AppendText(append(b, `,"currentMode":`...), a.CurrentMode)
	b = web.AppendOptionalText(append(b, `,"currentPoolId":`...), spotPool(a.CurrentMode, a.CurrentPool))
	b = strconv.AppendBool(append(b, `,"isHealthy":`...), w.healthy)
	b = web.AppendOptionalText(append(b, `,"lastHeartbeat":`...), formatAgo(a.SinceBeat))
	b = append(b, `,"lastDecision":`...)
	if len(a.Decisions) == 0 {
		b = append(b, "null"...)
	} else {
		b = appendLastDecision(b, &a.Decisions[0])
	}
	b = web.AppendList(append(b, `,"decisionHistory":`...), a.Decisions, appendPastDecision)
	b = append(b, `,"recentActivity":{"pricingReports":`...)
	from := len(b)
	b = web.AppendList(b, a.Reports, appendPastReport)
	reports := b[from:len(b):len(b)]
	b = web.AppendList(append(b, `,"systemEvents":`...), a.Events, appendPastEvent)
	b = web.AppendText(append(b, `,"healthStatus":{"overall":`...), web.ChooseWord(w.healthy, "healthy", "unhealthy"))
	b = web.AppendText(append(b, `,"heartbeat":`...), web.ChooseWord(w.beating, "active", "stale"))
	b = web.AppendText(append(b, `,"activity":`...), web.ChooseWord(w.busy, "active", "inactive"))
	b = strconv.AppendInt(append(b, `,"recentReportsCount":`...), int64(a.ReportCount), 10)
	b = strconv.AppendInt(append(b, `,"decisionCount":`...), int64(len(a.Decisions)), 10)
	b = web.AppendText(append(b, `}},"pricingHealth":{"status":`...),
		web.ChooseWord(a.ReportCount >= healthyReports, "healthy", "unhealthy"))
	b = strconv.AppendInt(append(b, `,"recentReportsCount":`...), int64(a.ReportCount), 10)
	b = append(append(b, `,"recentReports":`...), reports...)
	return append(b, "}}"...)
}

func appendLastDecision(b []byte, d *views.PastDecision) []byte {
	e := elapsedOf(d.Age.Seconds())
	b = web.AppendText(append(b, `{"type":`...), d.Action)
	b = web.AppendTime(append(b, `,"time":`...), d.At)
	b = strconv.AppendInt(append(b, `,"elapsed":{"minutes":`...), int64(e.Minutes), 10)
	b = web.AppendText(append(b, `,"formatted":`...), e.Formatted)
	b = strconv.AppendInt(append(b, `,"value":`...), int64(e.Value), 10)
	b = web.AppendText(append(b, `,"unit":`...), e.Unit)
	return append(b, "}}"...)
}

func appendPastDecision(b []byte, d *views.PastDecision) []byte {
	b = web.AppendText(append(b, `{"type":`...), d.Action)
	b = web.AppendText(append(b, `,"action":`...), d.Action)
	b = web.AppendNumber(append(b, `,"riskScore":`...), d.RiskScore)
	b = web.AppendNumber(append(b, `,"expectedSavings":`...), d.ExpectedSavings)
	b = web.AppendText(append(b, `,"currentMode":`...), d.CurrentMode)
	b = web.AppendTime(append(b, `,"time":`...), d.At)
	return append(b, '}')
}

func appendPastReport(b []byte, r *views.PastReport) []byte {
	b = web.AppendTime(append(b, `{"time":`...), r.At)
	b = web.AppendNumber(append(b, `,"onDemandPrice":`...), r.OnDemand)
	b = web.AppendNumber(append(b, `,"spotPrice":`...), r.Spot)
	return append(b, '}')
}

func appendPastEvent(b []byte, e *views.PastEvent) []byte {
	b = web.AppendText(append(b, `{"type":`...), e.Type)
	b = web.AppendText(append(b, `,"severity":`...), e.Severity)
	b = web.AppendText(append(b, `,"message":`...), e.Message)
	b = web.AppendTime(append(b, `,"time":`...), e.At)
	return append(b, '}')
}

// elapsedOf gives seconds in the unit in which people state them.
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

func formatAgo(seconds *float64) *string {
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
