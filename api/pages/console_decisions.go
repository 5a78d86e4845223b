package pages

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"spotkeeper/api/web"
	"spotkeeper/internal/postgres/views"
)

type decisionsRequest struct {
	ClientID string `json:"-" form:"client_id" binding:"max=64" doc:"only about agents of this client; a tenant reads its own"`
	Hours    *int   `json:"-" form:"hours" binding:"omitempty,min=1,max=168" doc:"how far back; 24 by default"`
}

type decisionsSummary struct {
	Since   web.ExactTime   `json:"since"`
	Results []decisionCount `json:"results" doc:"what live decisions came to, most first; one that repeats counts each time"`
	Vetoes  []vetoCount     `json:"vetoes" doc:"what held moves back, most first"`
	Engines []engineCount   `json:"engines" doc:"live ones first"`
	Runs    []decisionRun   `json:"runs" doc:"runs over all clients, newest first; for operators who ask about all clients, else empty"`
}

type decisionCount struct {
	Result    string `json:"result" enum:"stayed moved held lapsed failed" doc:"held: a move was wanted or weighed and something held it back; lapsed: it was not ordered while it was fresh"`
	Decisions int64  `json:"decisions"`
	Agents    int64  `json:"agents" doc:"that it was said of at least once"`
}

type vetoCount struct {
	Code      string `json:"code" example:"engine.too_risky"`
	Scope     string `json:"scope" enum:"agent place" doc:"agent: against any move; place: against one other place at least"`
	Decisions int64  `json:"decisions" doc:"in which it was said"`
	Agents    int64  `json:"agents"`
}

type engineCount struct {
	Engine    string   `json:"engine" example:"rules"`
	Version   string   `json:"version"`
	Shadow    bool     `json:"shadow" doc:"its decisions are recorded, and nothing acts on them"`
	Decisions int64    `json:"decisions"`
	Agents    int64    `json:"agents"`
	Moves     int64    `json:"moves" doc:"decisions to move"`
	Compared  int64    `json:"compared" doc:"of a shadow: decisions that have a live one of the same agent and run beside them"`
	Agreed    int64    `json:"agreed" doc:"of those, with the same action and target"`
	LiveMoves int64    `json:"live_moves" doc:"of those, in which the live engine wanted to move"`
	Agreement *float64 `json:"agreement" doc:"agreed by compared; null while nothing was compared"`
	Regret    *float64 `json:"regret_per_hour" doc:"what the live decision saved more on average, in USD per hour: above zero the live engine is the better one"`
}

type decisionRun struct {
	Period    web.ExactTime  `json:"period" doc:"the start of what the run is about"`
	State     string         `json:"state" enum:"running succeeded failed"`
	TookMs    *float64       `json:"took_ms"`
	Evaluated int64          `json:"evaluated" doc:"agents that were judged"`
	Moved     int64          `json:"moved"`
	Stayed    int64          `json:"stayed"`
	Held      int64          `json:"held" doc:"moves that something held back"`
	Lapsed    int64          `json:"lapsed"`
	Failed    int64          `json:"failed" doc:"judged by the built-in rules, or not at all, because an engine failed"`
	Shadow    int64          `json:"shadow" doc:"decisions of engines on trial"`
	HeldBy    map[string]int `json:"held_by" doc:"what held moves back, by code"`
}

func (c *Console) judged(ctx context.Context, in *decisionsRequest) (*decisionsSummary, error) {
	client := ownClient(ctx, in.ClientID)
	since := c.Now().Add(-time.Duration(web.ValueOr(in.Hours, 24)) * time.Hour)
	results, err := c.Views.Judged(ctx, client, since)
	counts, err := web.MapRows(results, err, func(x views.JudgedView) decisionCount { return decisionCount(x) })
	if err != nil {
		return nil, err
	}
	told, err := c.Views.Vetoes(ctx, client, since)
	vetoes, err := web.MapRows(told, err, func(x views.VetoView) vetoCount { return vetoCount(x) })
	if err != nil {
		return nil, err
	}
	deciding, err := c.Views.DecidingEngines(ctx, client, since)
	engines, err := web.MapRows(deciding, err, newEngineCount)
	if err != nil {
		return nil, err
	}
	out := &decisionsSummary{
		Since: web.ExactTime{Time: since}, Results: *counts, Vetoes: *vetoes, Engines: *engines, Runs: []decisionRun{},
	}
	if client != "" {
		return out, nil
	}
	found, err := c.Views.DecisionRuns(ctx, since)
	runs, err := web.MapRows(found, err, newDecisionRun)
	if err != nil {
		return nil, err
	}
	out.Runs = *runs
	return out, nil
}

func newEngineCount(x views.EngineView) engineCount {
	out := engineCount{
		Engine:    x.Engine,
		Version:   x.Version,
		Shadow:    x.Shadow,
		Decisions: x.Decisions,
		Agents:    x.Agents,
		Moves:     x.Moves,
		Compared:  x.Compared,
		Agreed:    x.Agreed,
		LiveMoves: x.LiveMoves,
	}
	if x.Compared > 0 {
		share := float64(x.Agreed) / float64(x.Compared)
		out.Agreement, out.Regret = &share, &x.Regret
	}
	return out
}

// newDecisionRun reads the counts of a run; what it cannot read counts as none.
func newDecisionRun(x views.DecisionRun) decisionRun {
	counts := map[string]int64{}
	_ = json.Unmarshal(x.Counts, &counts) // a run that failed counted nothing
	out := decisionRun{
		Period:    web.ExactTime{Time: x.Period},
		State:     x.State,
		Evaluated: counts["evaluated"],
		Moved:     counts["moved"],
		Stayed:    counts["stayed"],
		Lapsed:    counts["lapsed"],
		Failed:    counts["failed"],
		Shadow:    counts["shadow"],
		HeldBy:    map[string]int{},
	}
	for what, n := range counts {
		if code, held := strings.CutPrefix(what, "held: "); held {
			out.HeldBy[code] += int(n)
			out.Held += n
		}
	}
	if x.EndedAt != nil {
		took := float64(x.EndedAt.Sub(x.StartedAt).Microseconds()) / 1000
		out.TookMs = &took
	}
	return out
}
