package decisions

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/approval"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/postgres/pg"
)

// CheckMove judges a voluntary move by what holds at this moment, under the lock of
// fleet_limits: an agent that took the room before has committed. Fails as
// engine.MoveContext.Refusal and approval.Consent.Judge do.
func CheckMove(ctx context.Context, tx pgx.Tx, in switching.SwitchRequest) (*Permit, error) {
	var raw []byte
	if err := tx.QueryRow(ctx, selectMoveContext, []string{in.AgentID}).Scan(&raw); err != nil {
		return nil, err
	}
	now := engine.MoveContext{Limits: unset}
	if err := json.Unmarshal(raw, &now); err != nil {
		return nil, err
	}
	if err := now.Refusal(); err != nil {
		return nil, err
	}
	p := &Permit{in: in, rules: now.Holds.Consent, clientID: now.Agent.ClientID, move: approval.Move{
		Kind: in.Kind, InstanceID: now.Instance.ID, Mode: in.Target.Mode, PoolID: in.Target.PoolID,
	}}
	if p.move.Kind == "" {
		p.move.Kind = approval.KindFor(in.Target.Mode)
	}
	if p.move.Mode == agent.OnDemand && p.move.Kind != approval.Maintenance {
		p.move.PoolID = "" // on demand a pool names no more than a zone
	}
	verdict := now.Holds.Consent.Judge(now.Now, p.move)
	p.ask, p.use = verdict.Ask, verdict.Use
	return p, verdict.Refusal
}

// Permit is what the rules of a client say of a move that nothing else forbids.
type Permit struct {
	in       switching.SwitchRequest
	move     approval.Move
	rules    *approval.Consent
	clientID string
	ask      bool
	use      *approval.Approval
}

// NeedsAnswer says that a person is to be asked: the move is not made now.
func (p *Permit) NeedsAnswer() bool { return p != nil && p.ask }

// Ask writes the question, its event and its notification, and returns the refusal of the move.
func (p *Permit) Ask(ctx context.Context, tx pgx.Tx) (refusal, err error) {
	if _, err := tx.Exec(ctx, `
		UPDATE move_approvals
		SET state = CASE WHEN expires_at <= now() THEN 'lapsed' ELSE 'outdated' END
		WHERE agent_id = $1
		  AND kind = $2
		  AND state IN ('pending', 'approved')`, p.in.AgentID, p.move.Kind); err != nil {
		return nil, err
	}
	q := approval.Approval{ID: uuid.NewString(), Kind: p.move.Kind, Mode: p.move.Mode, PoolID: p.move.PoolID}
	reason := []rune(p.in.Reason)
	reason = reason[:min(len(reason), 500)]
	var name string
	err = tx.QueryRow(ctx, `
		INSERT INTO move_approvals (id, client_id, agent_id, instance_id, kind, mode, pool_id, instance_type, reason,
			asked_by, expires_at)
		SELECT $1, a.client_id, a.id, $3, $4, $5, $6, $7, $8, $9, now() + $10 * interval '1 minute'
		FROM agents a
		WHERE a.id = $2
		RETURNING expires_at, (SELECT logical_agent_id FROM agents WHERE id = $2)`,
		q.ID, p.in.AgentID, p.move.InstanceID, q.Kind, q.Mode, q.PoolID, p.in.Target.InstanceType, string(reason),
		p.in.By, p.rules.AnswerMinutes).Scan(&q.ExpiresAt, &name)
	if err != nil {
		return nil, err
	}
	err = pg.RecordEvent(ctx, tx, pg.EventRecord{
		ClientID: p.clientID,
		AgentID:  p.in.AgentID,
		Type:     "move_approval_asked",
		Severity: "warning",
		Actor:    p.in.By,
		Message: fmt.Sprintf("%s is to move to %s and waits for approval until %s: %s", name,
			approval.Place(q.Mode, q.PoolID), q.ExpiresAt.UTC().Format("2006-01-02 15:04 UTC"), string(reason)),
		Metadata: map[string]any{"approval_id": q.ID, "instance_id": p.move.InstanceID, "kind": q.Kind},
		Notify:   true,
		Key:      askedKey(q.ID),
	})
	if err != nil {
		return nil, err
	}
	_, err = tx.Exec(ctx, `UPDATE notifications SET approval_id = $2 WHERE dedup_key = $1`, askedKey(q.ID), q.ID)
	return approval.AwaitingFor(q), err
}

func askedKey(id string) string { return "move_approval_asked/" + id }

// QueueUse uses up the approval that the move is made by, if it needs one.
func (p *Permit) QueueUse(b *pgx.Batch, commandID string) {
	if p == nil || p.use == nil {
		return
	}
	b.Queue(`
		UPDATE move_approvals
		SET state = 'used',
			command_id = $2
		WHERE id = $1`, p.use.ID, commandID)
}
