package activities

import (
	"cmp"
	"context"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"time"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/internal/engine"
)

// DecisionStore is the part of decisions.Decisions that fleet-decisions uses.
type DecisionStore interface {
	Due(ctx context.Context, period time.Time) ([]string, error)
	Inputs(ctx context.Context, agentIDs []string) ([]engine.Input, error)
	Keep(ctx context.Context, records ...engine.Record) error
	OpenSwitchOrders(ctx context.Context, period time.Time, fresh time.Duration) ([]OpenSwitchOrder, error)
	Settle(ctx context.Context, in SettledSwitchOrder) error
	Tally(ctx context.Context, period time.Time) (map[string]int64, error)
}

// SwitchOrderer is workflows.SwitchOrders: it orders a switch and signals the agent's Guardian.
type SwitchOrderer interface {
	OrderSwitch(ctx context.Context, in switching.SwitchRequest) (*switching.StartedSwitch, error)
}

// OpenSwitchOrder is a move that was decided and is to be ordered.
type OpenSwitchOrder struct {
	DecisionID int64            `json:"decision_id"`
	AgentID    string           `json:"agent_id"`
	Name       string           `json:"name"` // as people call the agent
	Target     switching.Target `json:"target"`
	Reason     string           `json:"reason"`
}

// SettledSwitchOrder is an open order with its result.
type SettledSwitchOrder struct {
	DecisionID int64
	Outcome    string
	CommandID  string
	Vetoes     []engine.Veto
}

// Decisions let the engine judge every agent in auto mode, and act on it.
type Decisions struct {
	Store    DecisionStore
	Switches SwitchOrderer
	Log      *slog.Logger
	// EngineFor returns the engine that is live for an agent; nil, or one that
	// returns nil: the built-in rules.
	EngineFor func(agentID string) engine.Engine
	// ShadowFor returns the engine on trial for an agent, nil for none. What it
	// answers is kept beside the live decision, and is never acted on.
	ShadowFor func(agentID string) engine.Engine
	// Approvals are the questions about moves; nil: none are asked.
	Approvals ApprovalStore
	// Breakers pause moves when Breaker says so; nil: never.
	Breakers BreakerStore
	Breaker  engine.Breaker
	// EngineOf returns the engine of a session that this process holds; nil for none.
	EngineOf func(sessionID string) engine.Engine

	BatchSize int           // agents that are read at once; 0: 500
	Patience  time.Duration // for one decision; 0: 5 s
}

const (
	fleetBatch    = 500
	fleetPatience = 5 * time.Second
	// freshMove is how old a decision may be that is still acted on.
	freshMove = 5 * time.Minute
	// tooManyFailures in a row of an engine, or of orders: not one agent's trouble.
	tooManyFailures = 3
)

// DecideFleetInput is one run.
type DecideFleetInput struct {
	Period time.Time `json:"period"` // with the agent, what decision and command are known by
}

// DecideFleet judges every agent in auto mode, keeps each decision and orders the
// moves. It may run twice: an agent is decided on once in a period, by constraint;
// an order has an id made from agent and period, so it is one command and one
// switch; and limits are judged again in the transaction of the order, where other
// orders wait, so that neither a second attempt nor another process overshoots.
func (d *Decisions) DecideFleet(ctx context.Context, in DecideFleetInput) (*JobCounts, error) {
	if err := d.tripBreakers(ctx); err != nil {
		return nil, err
	}
	if err := d.orderApproved(ctx); err != nil {
		return nil, err
	}
	ids, err := d.Store.Due(ctx, in.Period)
	if err != nil {
		return nil, err
	}
	shuffleForPeriod(ids, in.Period)
	live, shadow := newPanel(d.EngineFor, d.Patience), newPanel(d.ShadowFor, d.Patience)
	if err := d.orderMoves(ctx, in.Period); err != nil { // what an attempt before this one left
		return nil, err
	}
	size := cmp.Or(d.BatchSize, fleetBatch)
	for len(ids) > 0 {
		batch := ids[:min(size, len(ids))]
		ids = ids[len(batch):]
		inputs, err := d.Store.Inputs(ctx, batch)
		if err != nil {
			return nil, err
		}
		if err := d.decide(ctx, in.Period, inputs, live); err != nil {
			return nil, err
		}
		if err := d.orderMoves(ctx, in.Period); err != nil {
			return nil, err
		}
		if err := d.decideShadow(ctx, in.Period, inputs, shadow); err != nil {
			return nil, err
		}
	}
	counts, err := d.Store.Tally(ctx, in.Period)
	out := JobCounts(counts)
	return &out, err
}

// shuffleForPeriod orders the agents anew in each period, and the same in each attempt:
// where only some may move, no agent is first for ever.
func shuffleForPeriod(ids []string, period time.Time) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(period.UTC().Format(time.RFC3339)))
	r := rand.New(rand.NewPCG(h.Sum64(), 0)) //nolint:gosec // fair, not secret
	r.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
}

// decide judges a batch by the live engines and keeps what they answer. A move
// that is decided takes room from those after it.
func (d *Decisions) decide(ctx context.Context, period time.Time, inputs []engine.Input, live *panel) error {
	records := make([]engine.Record, 0, len(inputs))
	moving, all := map[string]int{}, 0
	for _, in := range inputs {
		in.Holds.ClientMoving += moving[in.Agent.ClientID]
		in.Holds.FleetMoving += all
		r := engine.Record{
			Input:    in,
			Decision: live.ask(ctx, in, engine.Rules{}),
			Source:   engine.BySchedule,
			Period:   period,
		}
		if r.Decision.AsksForSwitch() {
			r.Outcome = engine.OutcomeOpen
			moving[in.Agent.ClientID]++
			all++
		}
		records = append(records, r)
		recordHeartbeat(ctx)
		if err := ctx.Err(); err != nil { // the answers of engines that were cut short do not count
			return err
		}
	}
	return d.Store.Keep(ctx, records...)
}

// decideShadow has the engines on trial judge the same.
func (d *Decisions) decideShadow(ctx context.Context, period time.Time, inputs []engine.Input, shadow *panel) error {
	var records []engine.Record
	for _, in := range inputs {
		if d.ShadowFor == nil || d.ShadowFor(in.Agent.ID) == nil {
			continue
		}
		records = append(records, engine.Record{
			Input:    in,
			Decision: shadow.ask(ctx, in, nil),
			Shadow:   true,
			Source:   engine.BySchedule,
			Period:   period,
		})
		recordHeartbeat(ctx)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if len(records) == 0 {
		return nil
	}
	return d.Store.Keep(ctx, records...)
}

// orderMoves asks for the moves that are decided. One that is refused is settled as
// held back. When several in a row cannot be asked for at all, the rest waits for
// the next attempt.
func (d *Decisions) orderMoves(ctx context.Context, period time.Time) error {
	moves, err := d.Store.OpenSwitchOrders(ctx, period, freshMove)
	if err != nil {
		return err
	}
	failed := 0
	for _, m := range moves {
		recordHeartbeat(ctx)
		id := CommandOf(m.AgentID, period)
		_, err := d.Switches.OrderSwitch(ctx, switching.SwitchRequest{
			ID:        id,
			AgentID:   m.AgentID,
			Target:    m.Target,
			Priority:  switching.PriorityModel,
			By:        "fleet-decisions",
			Reason:    m.Reason,
			Voluntary: true,
			Notify:    "Moving " + m.Name + " to " + cmp.Or(m.Target.PoolID, "on-demand") + ": " + m.Reason,
		})
		if err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
		settled := SettledSwitchOrder{DecisionID: m.DecisionID, Outcome: engine.OutcomeOrdered, CommandID: id}
		switch kind := fault.KindOf(err); {
		case err == nil, fault.Is(err, switching.AlreadyDone): // an attempt before this one ordered it
			failed = 0
		case kind.Retryable():
			d.Log.WarnContext(ctx, "a move could not be ordered", "agent_id", m.AgentID, "command_id", id,
				"code", fault.CodeOf(err), "error", err)
			if failed++; failed == tooManyFailures {
				return err
			}
			settled = SettledSwitchOrder{
				DecisionID: m.DecisionID,
				Outcome:    engine.OutcomeFailed,
				Vetoes:     []engine.Veto{{Code: fault.CodeOf(err), Reason: "The move could not be ordered."}},
			}
		default:
			failed = 0
			settled = SettledSwitchOrder{
				DecisionID: m.DecisionID,
				Outcome:    string(fault.CodeOf(err)),
				Vetoes:     []engine.Veto{{Code: fault.CodeOf(err), Reason: sentenceOf(err)}},
			}
		}
		if err := d.Store.Settle(ctx, settled); err != nil {
			return err
		}
	}
	return nil
}
