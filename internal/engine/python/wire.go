package python

import (
	"bytes"
	"cmp"
	"encoding/json"
	"strings"
	"time"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/plaintext"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/engine/host"
)

type agentData struct {
	AgentID       string     `json:"agent_id"`
	ClientID      string     `json:"client_id"`
	InstanceID    string     `json:"instance_id"`
	InstanceType  string     `json:"instance_type"`
	Region        string     `json:"region"`
	AZ            string     `json:"az"`
	CurrentMode   agent.Mode `json:"current_mode"`
	CurrentPoolID *string    `json:"current_pool_id"`
	AgeHours      float64    `json:"instance_age_hours"`
	Enabled       bool       `json:"enabled"`
	AutoSwitch    bool       `json:"auto_switch_enabled"`
	MinSavings    float64    `json:"min_savings_percent"`
	RiskThreshold float64    `json:"risk_threshold"`
}

// pricing carries both spellings: engines read the one, agents report the other.
type pricing struct {
	SpotPrice        float64 `json:"spot_price"`
	OnDemandPrice    float64 `json:"ondemand_price"`
	CurrentSpotPrice float64 `json:"current_spot_price"`
	OnDemand         float64 `json:"on_demand_price"`
	PoolID           *string `json:"pool_id"`
}

type marketData struct {
	Now          time.Time `json:"now"`
	Pools        []pool    `json:"pools"`
	SwitchesWeek int       `json:"recent_switches_count"`
	LastSwitch   time.Time `json:"last_switch_time,omitzero"`
}

type pool struct {
	PoolID        string         `json:"pool_id"`
	AZ            string         `json:"az"`
	Price         float64        `json:"price"`
	Interruptions int            `json:"interruptions_30d"`
	InstanceHours float64        `json:"instance_hours_30d"`
	History       []engine.Price `json:"history"`
}

// question is an input as the deployed engines know it.
func question(in engine.Input) host.Request {
	a := agentData{
		AgentID:       in.Agent.ID,
		ClientID:      in.Agent.ClientID,
		InstanceID:    in.Instance.ID,
		InstanceType:  in.Instance.Type,
		Region:        in.Instance.Region,
		AZ:            in.Instance.AZ,
		CurrentMode:   in.Instance.Mode,
		AgeHours:      in.Now.Sub(in.Instance.LaunchedAt).Hours(),
		Enabled:       in.Agent.Enabled,
		AutoSwitch:    in.Agent.AutoSwitch,
		MinSavings:    in.Limits.MinSavingsPercent,
		RiskThreshold: in.Limits.RiskThreshold,
	}
	p := pricing{OnDemandPrice: in.OnDemand.USD, OnDemand: in.OnDemand.USD}
	m := marketData{
		Now:          in.Now,
		Pools:        make([]pool, 0, len(in.Pools)),
		SwitchesWeek: in.Activity.SwitchesWeek,
		LastSwitch:   in.Activity.LastChangeAt,
	}
	here := in.Instance.PoolID
	if here == "" {
		here = agent.PoolID(in.Instance.Type, in.Instance.AZ)
	} else {
		a.CurrentPoolID = &here
	}
	for _, c := range in.Pools {
		if c.ID == here {
			p.SpotPrice, p.CurrentSpotPrice, p.PoolID = c.Price.USD, c.Price.USD, &here
		}
		seen := pool{PoolID: c.ID, AZ: c.AZ, Price: c.Price.USD, History: c.History}
		if c.Interruptions != nil {
			seen.Interruptions, seen.InstanceHours = c.Interruptions.Count, c.Interruptions.InstanceHours
		}
		m.Pools = append(m.Pools, seen)
	}
	return host.Request{Agent: &a, Pricing: &p, Market: &m}
}

// verdict is what make_decision returns, in the spelling of the engines, and of
// the manager that called them.
type verdict struct {
	DecisionType    string   `json:"decision_type"`
	Action          string   `json:"recommended_action"`
	Pool            *string  `json:"recommended_pool_id"`
	Risk            *float64 `json:"risk_score"`
	Savings         *float64 `json:"expected_savings"`
	SavingsPerHour  *float64 `json:"expected_savings_per_hour"`
	Confidence      *float64 `json:"confidence"`
	Reason          string   `json:"reason"`
	RecommendedMode string   `json:"recommended_mode"`
}

// decision converts the answer of the uploaded engine. Fails with engine.bad_answer.
func decision(in engine.Input, result json.RawMessage) (engine.Decision, error) {
	var v verdict
	decoder := json.NewDecoder(bytes.NewReader(result))
	if err := decoder.Decode(&v); err != nil || len(result) == 0 || result[0] != '{' {
		return engine.Decision{}, engine.BadAnswer.New(
			"make_decision returned something that is not a decision: %.80q", result)
	}
	word := v.DecisionType
	if word == "" {
		word = v.Action
	}
	d := engine.StayPut(in, shownReason(v.Reason))
	switch {
	case strings.HasPrefix(word, "stay"):
	case word == string(engine.SwitchToOnDemand):
		d.Action, d.Mode, d.PoolID, d.Savings = engine.SwitchToOnDemand, agent.OnDemand, "", 0
	case word == string(engine.SwitchToSpot):
		d.Action, d.Mode, d.PoolID = engine.SwitchToSpot, agent.Spot, named(v.Pool, in)
	default:
		return engine.Decision{}, engine.BadAnswer.New(
			"make_decision returned the decision %.40q; it must be stay, switch_to_spot or switch_to_ondemand", word)
	}
	for _, given := range []struct{ from, to *float64 }{
		{v.Risk, &d.Risk},
		{v.Savings, &d.Savings},
		{v.SavingsPerHour, &d.Savings}, // the name that says the unit wins
		{v.Confidence, &d.Confidence},
	} {
		if given.from != nil {
			*given.to = *given.from
		}
	}
	return d, nil
}

// maxReason is the length in characters of a reason that an uploaded engine may give.
const maxReason = 1000

// shownReason is an uploaded engine's reason as one line for people.
func shownReason(reason string) string {
	reason = strings.TrimSpace(plaintext.CleanLine(reason))
	if runes := []rune(reason); len(runes) > maxReason {
		return string(runes[:maxReason]) + "…"
	}
	return cmp.Or(reason, "The engine gave no reason.")
}

// named is the pool the engine chose; one that leaves the choice to us gets the
// cheapest known.
func named(chosen *string, in engine.Input) string {
	if chosen != nil && *chosen != "" {
		return *chosen
	}
	best := engine.Pool{}
	for _, p := range in.Pools {
		usable := p.Price.IsFresh(in.Now) && !in.Now.Before(p.BlockedUntil) && p.Type == in.Instance.Type &&
			p.Region == in.Instance.Region
		if usable && (best.ID == "" || p.Price.USD < best.Price.USD) {
			best = p
		}
	}
	return best.ID
}
