package activities

import (
	"context"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/approval"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/internal/engine"
)

// ApprovalStore is the part of decisions.Approvals that fleet-decisions uses.
type ApprovalStore interface {
	CloseOver(ctx context.Context) error
	ApprovedRequests(ctx context.Context, limit int) ([]ApprovedMove, error)
}

// BreakerStore is decisions.Breakers.
type BreakerStore interface {
	// Trip pauses moves by a rule, and returns the ids of the clients; an empty one means all.
	Trip(ctx context.Context, rule engine.Breaker) ([]string, error)
}

// ApprovedMove is a move that a program asked for and a person approved.
type ApprovedMove struct {
	ID           string // of the approval, and of the command that is made of it
	AgentID      string
	Name         string
	Mode         agent.Mode
	PoolID       string
	InstanceType string
	Reason       string
	AnsweredBy   string
}

// approvedAtOnce bounds the approved moves that one run orders.
const approvedAtOnce = 100

// tripBreakers pauses moves where too many have failed.
func (d *Decisions) tripBreakers(ctx context.Context) error {
	if d.Breakers == nil || d.Breaker.Moves <= 0 {
		return nil
	}
	tripped, err := d.Breakers.Trip(ctx, d.Breaker)
	for _, clientID := range tripped {
		d.Log.WarnContext(ctx, "voluntary moves are paused: too many have failed", "client_id", clientID,
			"within", d.Breaker.Within, "pause", d.Breaker.Pause)
	}
	return err
}

// orderApproved closes the questions that are over, and orders the moves that programs asked
// for and persons approved. An engine's approved moves are ordered by its next decision. It may
// run twice: a command has the id of its approval, which is used up with it. What is refused is
// tried again by the next run, until the approval lapses.
func (d *Decisions) orderApproved(ctx context.Context) error {
	if d.Approvals == nil {
		return nil
	}
	if err := d.Approvals.CloseOver(ctx); err != nil {
		return err
	}
	moves, err := d.Approvals.ApprovedRequests(ctx, approvedAtOnce)
	if err != nil {
		return err
	}
	for _, m := range moves {
		recordHeartbeat(ctx)
		target := switching.Target{Mode: m.Mode, PoolID: m.PoolID, InstanceType: m.InstanceType}
		_, err := d.Switches.OrderSwitch(ctx, switching.SwitchRequest{
			ID:        m.ID,
			AgentID:   m.AgentID,
			Target:    target,
			Priority:  switching.PriorityDefault,
			By:        m.AnsweredBy,
			Reason:    m.Reason,
			Voluntary: true,
			Kind:      approval.Requested,
			Notify:    "Moving " + m.Name + " to " + approval.Place(m.Mode, m.PoolID) + ", as " + m.AnsweredBy + " approved",
		})
		if err == nil || fault.Is(err, switching.AlreadyDone) {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		d.Log.WarnContext(ctx, "an approved move was not ordered", "agent_id", m.AgentID, "approval_id", m.ID,
			"code", fault.CodeOf(err), "error", err)
	}
	return nil
}
