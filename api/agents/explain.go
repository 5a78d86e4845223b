package agents

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/postgres/decisions"
)

// explanation is why an agent was moved, or was not.
type explanation struct {
	AgentID   string          `json:"agent_id"`
	At        web.Time        `json:"at"`
	Sentences []string        `json:"sentences" doc:"the whole explanation in words"`
	Now       judgement       `json:"now" doc:"what the engine decides at this moment; nothing follows from it"`
	Limits    limitsNow       `json:"limits"`
	Activity  activityNow     `json:"activity"`
	Holds     holdsNow        `json:"holds" doc:"what stands in the way of any voluntary move"`
	Decisions []madeDecision  `json:"decisions" doc:"newest first, those of engines on trial among them"`
	Switches  []explainSwitch `json:"switches" doc:"newest first, whatever became of them"`

	Types explainTypes `json:"types" doc:"which instance types are considered for a replacement, and why not the others"`

	Unproven *web.Unproven `json:"unproven" doc:"why nothing at EC2 is done for the agent; null when its instances are proven"`
}

type judgement struct {
	Action     engine.Action  `json:"action"`
	Mode       agent.Mode     `json:"mode"`
	PoolID     *string        `json:"pool_id"`
	Wanted     *engine.Target `json:"wanted" doc:"the move that the vetoes hold back"`
	Risk       float64        `json:"risk_score" doc:"probability of being interrupted within a day"`
	Savings    float64        `json:"expected_savings_per_hour" doc:"USD against on-demand"`
	Gain       float64        `json:"gain_per_hour" doc:"USD against staying"`
	Confidence float64        `json:"confidence"`
	Reason     string         `json:"reason"`
	Vetoes     []engine.Veto  `json:"vetoes"`
	Scores     []engine.Score `json:"scores"`
	Engine     string         `json:"engine"`
	Version    string         `json:"engine_version"`
}

type limitsNow struct {
	MinSavingsPercent     float64 `json:"min_savings_percent"`
	RiskThreshold         float64 `json:"risk_threshold"`
	MaxSwitchesPerWeek    int     `json:"max_switches_per_week"`
	MaxSwitchesPerDay     int     `json:"max_switches_per_day"`
	MinPoolHours          float64 `json:"min_pool_duration_hours"`
	CoolDownMinutes       float64 `json:"cool_down_minutes"`
	MaxMovingPercent      float64 `json:"max_moving_percent" doc:"of the client's agents at once"`
	MaxFleetMovingPercent float64 `json:"max_fleet_moving_percent" doc:"of all agents at once"`
}

type activityNow struct {
	Day        int       `json:"switches_day"`
	Week       int       `json:"switches_week"`
	LastChange *web.Time `json:"last_change_at"`
	PoolSince  *web.Time `json:"pool_since"`
}

type holdsNow struct {
	Pauses    []pauseNow `json:"pauses"`
	Notice    *string    `json:"notice"`
	Operation *string    `json:"operation_id"`
	Moving    int        `json:"client_moving"`
	Agents    int        `json:"client_agents"`
}

type pauseNow struct {
	Scope  engine.Scope `json:"scope"`
	Until  web.Time     `json:"until"`
	Reason string       `json:"reason"`
}

type madeDecision struct {
	At         web.Time        `json:"at" doc:"when it was said last; numbers and words are of that time"`
	FirstAt    web.Time        `json:"first_at"`
	Count      int             `json:"count" doc:"how often in a row the same was decided"`
	Source     string          `json:"source" doc:"schedule: fleet-decisions; agent: it was asked for; command: a move was ordered"`
	Engine     string          `json:"engine"`
	Version    string          `json:"engine_version"`
	Shadow     bool            `json:"shadow" doc:"of an engine on trial: it is not acted on"`
	Action     string          `json:"action"`
	PoolID     *string         `json:"pool_id"`
	Risk       float64         `json:"risk_score"`
	Savings    float64         `json:"expected_savings_per_hour"`
	Confidence float64         `json:"confidence"`
	Reason     string          `json:"reason"`
	Vetoes     json.RawMessage `json:"vetoes"`
	Scores     json.RawMessage `json:"scores"`
	Inputs     json.RawMessage `json:"inputs"`
	Outcome    *string         `json:"outcome" doc:"of a move: open, ordered, lapsed, failed, or the code of what refused it"`
	CommandID  *string         `json:"command_id"`
}

type explainSwitch struct {
	At        web.Time `json:"at"`
	Operation *string  `json:"operation_id"`
	Trigger   string   `json:"trigger"`
	By        string   `json:"by"`
	Phase     string   `json:"phase"`
	FromMode  string   `json:"from_mode"`
	FromPool  *string  `json:"from_pool_id"`
	ToMode    string   `json:"to_mode"`
	ToPool    *string  `json:"to_pool_id"`
	Impact    *float64 `json:"savings_impact_per_hour" doc:"USD; positive is cheaper"`
	Error     *string  `json:"error_code"`
	Reason    string   `json:"reason"`
}

const mostExplained = 10

// explain answers "why did it, why did it not".
func (d *Decisions) explain(ctx context.Context, in *web.AgentPath) (*explanation, error) {
	facts, err := d.Store.Input(ctx, web.TenantScope(ctx), in.AgentID)
	if err != nil {
		return nil, err
	}
	decisions, err := d.Store.DecisionsOf(ctx, facts.Agent.ID, mostExplained)
	if err != nil {
		return nil, err
	}
	switches, err := d.Store.SwitchesOf(ctx, facts.Agent.ID, mostExplained)
	if err != nil {
		return nil, err
	}
	types, typeSentences, err := d.explainTypes(ctx, web.TenantScope(ctx), facts.Agent.ID)
	if err != nil {
		return nil, err
	}
	got := engine.Decide(ctx, d.engineFor(facts.Agent.ID), facts)
	out := &explanation{
		AgentID:   facts.Agent.ID,
		At:        web.TimeOf(facts.Now),
		Types:     types,
		Sentences: append(engine.Explain(facts, got), typeSentences...),
		Now:       judgementOf(got),
		Limits:    limitsOf(facts.Limits),
		Activity:  activityOf(facts.Activity),
		Holds:     holdsOf(facts.Holds),
		Decisions: web.MapAll(decisions, madeDecisionOf),
		Switches:  web.MapAll(switches, explainSwitchOf),
	}
	out.Sentences = append(out.Sentences, explainPast(facts.Now, decisions, switches)...)
	silence, err := d.silence(ctx, facts)
	if err != nil {
		return nil, err
	}
	out.Sentences = append(silence, out.Sentences...)
	proofs, err := d.Pools.Proofs(ctx, facts.Agent.ID)
	if err != nil {
		return nil, err
	}
	for _, p := range proofs {
		if _, unproven := web.ProofOf(proofs, p.InstanceID); unproven != nil {
			out.Unproven = unproven
			out.Sentences = append([]string{
				"Nothing at EC2 is done for " + p.InstanceID + ": " + unproven.Sentence()}, out.Sentences...)
		}
	}
	return out, nil
}

func judgementOf(got engine.Decision) judgement {
	return judgement{
		Action:     got.Action,
		Mode:       got.Mode,
		PoolID:     web.NilIfEmpty(got.PoolID),
		Wanted:     got.Wanted,
		Risk:       got.Risk,
		Savings:    got.Savings,
		Gain:       got.Gain,
		Confidence: got.Confidence,
		Reason:     got.Reason,
		Vetoes:     web.EmptyIfNil(got.Vetoes),
		Scores:     web.EmptyIfNil(got.Scores),
		Engine:     got.Engine,
		Version:    got.Version,
	}
}

func limitsOf(l engine.Limits) limitsNow {
	return limitsNow{
		MinSavingsPercent:     l.MinSavingsPercent,
		RiskThreshold:         l.RiskThreshold,
		MaxSwitchesPerWeek:    l.MaxSwitchesPerWeek,
		MaxSwitchesPerDay:     l.MaxSwitchesPerDay,
		MinPoolHours:          l.MinPoolDuration.Hours(),
		CoolDownMinutes:       l.CoolDown.Minutes(),
		MaxMovingPercent:      l.MaxMovingPercent,
		MaxFleetMovingPercent: l.MaxFleetMovingPercent,
	}
}

func activityOf(a engine.Activity) activityNow {
	return activityNow{
		Day:        a.SwitchesDay,
		Week:       a.SwitchesWeek,
		LastChange: web.NewTime(&a.LastChangeAt),
		PoolSince:  web.NewTime(&a.PoolSince),
	}
}

func holdsOf(h engine.Blockers) holdsNow {
	out := holdsNow{
		Pauses:    []pauseNow{},
		Notice:    web.NilIfEmpty(h.Notice),
		Operation: web.NilIfEmpty(h.Operation),
		Moving:    h.ClientMoving,
		Agents:    h.ClientAgents,
	}
	for _, p := range h.Pauses {
		out.Pauses = append(out.Pauses, pauseNow{
			Scope:  p.Scope,
			Until:  web.TimeOf(p.Until),
			Reason: p.Reason,
		})
	}
	return out
}

func madeDecisionOf(x decisions.MadeDecision) madeDecision {
	return madeDecision{
		At:         web.TimeOf(x.At),
		FirstAt:    web.TimeOf(x.FirstAt),
		Count:      x.Count,
		Source:     x.Source,
		Engine:     x.Engine,
		Version:    x.EngineVersion,
		Shadow:     x.Shadow,
		Action:     x.Action,
		PoolID:     web.NilIfEmpty(x.PoolID),
		Risk:       x.RiskScore,
		Savings:    x.ExpectedSavings,
		Confidence: x.Confidence,
		Reason:     x.Reason,
		Vetoes:     x.Vetoes,
		Scores:     x.Scores,
		Inputs:     x.Inputs,
		Outcome:    web.NilIfEmpty(x.Outcome),
		CommandID:  x.CommandID,
	}
}

func explainSwitchOf(x decisions.MadeSwitch) explainSwitch {
	return explainSwitch{
		At:        web.TimeOf(x.At),
		Operation: web.NilIfEmpty(x.OperationID),
		Trigger:   x.Trigger,
		By:        x.By,
		Phase:     x.Phase,
		FromMode:  x.FromMode,
		FromPool:  x.FromPool,
		ToMode:    x.ToMode,
		ToPool:    x.ToPool,
		Impact:    x.SavingsImpact,
		Error:     x.ErrorCode,
		Reason:    x.Reason,
	}
}

// silence says for how long an offline agent has sent no heartbeat.
func (d *Decisions) silence(ctx context.Context, facts engine.Input) ([]string, error) {
	a, err := d.Pools.Agent(ctx, facts.Agent.ClientID, facts.Agent.ID)
	if err != nil || a.Status != agent.StatusOffline {
		return nil, err
	}
	if a.LastHeartbeat == nil {
		return []string{"The agent is offline: it was never heard."}, nil
	}
	return []string{"The agent is offline: it was heard last " + formatSince(facts.Now, *a.LastHeartbeat) +
		" ago. What follows is about an instance that may not run any more."}, nil
}

// explainPast says what was decided and done last.
func explainPast(now time.Time, decisions []decisions.MadeDecision, switches []decisions.MadeSwitch) []string {
	var out []string
	for _, x := range decisions {
		if x.Shadow {
			continue
		}
		s := fmt.Sprintf("%s ago %s %s decided %s: %s", formatSince(now, x.At), x.Engine, x.EngineVersion, x.Action,
			x.Reason)
		switch x.Outcome {
		case "":
		case engine.OutcomeOrdered:
			s += " The move was ordered."
		case engine.OutcomeOpen:
			s += " The move is about to be ordered."
		default:
			s += " The move was not made (" + x.Outcome + ")."
		}
		if x.Count > 1 {
			s += fmt.Sprintf(" It has decided so %d times within %s.", x.Count, formatSince(x.At, x.FirstAt))
		}
		out = append(out, s)
		break
	}
	if len(switches) == 0 {
		return append(out, "It has never been switched.")
	}
	x := switches[0]
	return append(out, fmt.Sprintf("Its last switch began %s ago, from %s to %s, asked for by %s: it is %s.",
		formatSince(now, x.At),
		cmp.Or(spotPlace(x.FromMode, x.FromPool), "an unknown place"),
		cmp.Or(spotPlace(x.ToMode, x.ToPool), "an unknown place"), cmp.Or(x.By, x.Trigger), x.Phase))
}

func spotPlace(mode string, pool *string) string {
	if mode == string(agent.Spot) && pool != nil {
		return *pool
	}
	return mode
}

func formatSince(now, at time.Time) string { return max(now.Sub(at), 0).Round(time.Second).String() }
