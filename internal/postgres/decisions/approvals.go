package decisions

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/approval"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/postgres/pg"
)

// Approvals stores questions about voluntary moves and their answers. The row decides: a move
// that needs an approval is ordered in the transaction that uses its row up.
type Approvals struct{ DB *pg.DB }

var _ activities.ApprovalStore = (*Approvals)(nil)

// ApprovalView is a question as pages show it.
type ApprovalView struct {
	ID           string
	ClientID     string
	ClientName   string
	AgentID      string
	AgentName    string
	InstanceID   string
	Kind         approval.Kind
	Mode         agent.Mode
	PoolID       string
	InstanceType string
	Reason       string
	AskedBy      string
	State        approval.State
	AskedAt      time.Time
	ExpiresAt    time.Time
	AnsweredAt   *time.Time
	AnsweredBy   string
	CommandID    string
}

// approvalColumns show question x of agent a and client c. An open question that is over is
// shown so before a run has closed it.
const approvalColumns = `x.id, x.client_id, c.name AS client_name, x.agent_id, a.logical_agent_id AS agent_name,
	x.instance_id, x.kind, x.mode, x.pool_id, x.instance_type, x.reason, x.asked_by, ` + approvalState + ` AS state,
	x.asked_at, x.expires_at, x.answered_at, x.answered_by, x.command_id`

const approvalState = `CASE
		WHEN x.state NOT IN ('pending', 'approved') THEN x.state
		WHEN x.expires_at <= now() THEN 'lapsed'
		WHEN a.status = 'deleted' OR NOT EXISTS (
			SELECT FROM instances i WHERE i.agent_id = x.agent_id AND i.role = 'primary' AND i.id = x.instance_id)
		THEN 'outdated'
		ELSE x.state
	END`

// List lists questions, newest first; of a client if one is named, and in one state if one is.
func (s *Approvals) List(ctx context.Context, clientID, state string, p pg.Page) ([]ApprovalView, error) {
	at, id := p.From()
	return pg.QueryRows[ApprovalView](ctx, s.DB, `
		SELECT *
		FROM (
			SELECT `+approvalColumns+`
			FROM move_approvals x
			JOIN agents a ON a.id = x.agent_id
			JOIN clients c ON c.id = x.client_id
			WHERE ($1 = '' OR x.client_id = $1)
			  AND (x.asked_at, x.id) < ($3, CASE WHEN $4 = '' THEN '~' ELSE $4 END)) q
		WHERE $2 = '' OR state = $2
		ORDER BY asked_at DESC, id DESC
		LIMIT $5`, clientID, state, at, id, p.UpTo())
}

// Get reads one question; of a client if one is named. Fails with approval.not_found.
func (s *Approvals) Get(ctx context.Context, clientID, id string) (*ApprovalView, error) {
	out, err := pg.QueryRow[ApprovalView](ctx, s.DB, `
		SELECT `+approvalColumns+`
		FROM move_approvals x
		JOIN agents a ON a.id = x.agent_id
		JOIN clients c ON c.id = x.client_id
		WHERE x.id = $1
		  AND ($2 = '' OR x.client_id = $2)`, id, clientID)
	if pg.IsNoRows(err) {
		return nil, approval.NotFound.New("There is no such question.")
	}
	return out, err
}

// GetLinked reads the question that a webhook's link is about, while the webhook exists. Fails
// with approval.bad_link.
func (s *Approvals) GetLinked(ctx context.Context, id, sinkID string) (*ApprovalView, error) {
	var clientID string
	err := s.DB.Pool.QueryRow(ctx, `SELECT client_id FROM notification_sinks WHERE id = $1`, sinkID).Scan(&clientID)
	if err == nil {
		return s.Get(ctx, clientID, id)
	}
	if pg.IsNoRows(err) {
		return nil, approval.BadLink.New("The webhook that this link was sent to has been deleted.")
	}
	return nil, pg.Translate(err)
}

// Answer is a person's answer to a question.
type Answer struct {
	ID       string
	ClientID string // whose question it must be; empty: any client's
	Approve  bool
	By       string
}

// questioned is a locked question with what the answer is judged by.
type questioned struct {
	approval.Approval

	AgentID string          `json:"agent_id"`
	Owner   string          `json:"client_id"`
	Name    string          `json:"name"`
	Deleted bool            `json:"deleted"`
	Primary string          `json:"primary"`
	Offered bool            `json:"offered"` // the pool is still one of the market
	Rules   *approval.Rules `json:"rules"`
	Now     time.Time       `json:"now"`

	Decided *struct {
		PoolID string         `json:"pool_id"`
		Mode   agent.Mode     `json:"mode"`
		Wanted *engine.Target `json:"wanted"`
		Reason string         `json:"reason"`
	} `json:"decided"`
}

const selectQuestioned = `
SELECT jsonb_build_object('id', x.id, 'kind', x.kind, 'state', x.state, 'instance_id', x.instance_id, 'mode', x.mode,
	'pool_id', x.pool_id, 'expires_at', x.expires_at, 'answered_at', x.answered_at, 'answered_by', x.answered_by,
	'agent_id', x.agent_id, 'client_id', x.client_id, 'name', a.logical_agent_id, 'deleted', a.status = 'deleted',
	'primary', coalesce((SELECT i.id FROM instances i WHERE i.agent_id = a.id AND i.role = 'primary'), ''),
	'offered', x.pool_id = '' OR EXISTS (SELECT FROM pools p WHERE p.id = x.pool_id AND p.is_active),
	'rules', (SELECT ` + rulesObject + ` FROM move_rules r WHERE r.client_id = x.client_id),
	'decided', (
		SELECT jsonb_build_object('pool_id', d.pool_id, 'wanted', d.inputs->'wanted', 'reason', d.reason,
			'mode', CASE d.action WHEN 'switch_to_spot' THEN 'spot' WHEN 'switch_to_ondemand' THEN 'ondemand' ELSE '' END)
		FROM decisions d
		WHERE d.agent_id = x.agent_id AND d.source = 'schedule' AND NOT d.shadow AND d.newest),
	'now', clock_timestamp())
FROM move_approvals x
JOIN agents a ON a.id = x.agent_id
WHERE x.id = $1
  AND ($2 = '' OR x.client_id = $2)
FOR NO KEY UPDATE OF x`

// Answer answers a question. The first answer counts; the same one again changes nothing and
// is success. The note says what may keep an approved move from being made. Fails with
// approval.not_found, approval.already_answered, approval.lapsed, approval.outdated and
// switch.pool_blocked.
func (s *Approvals) Answer(ctx context.Context, in Answer) (out *ApprovalView, note string, err error) {
	var refused error
	err = s.DB.InTx(ctx, func(tx pgx.Tx) error {
		var raw []byte
		err := tx.QueryRow(ctx, selectQuestioned, in.ID, in.ClientID).Scan(&raw)
		if pg.IsNoRows(err) {
			return approval.NotFound.New("There is no such question.")
		}
		if err != nil {
			return err
		}
		var q questioned
		if err := json.Unmarshal(raw, &q); err != nil {
			return err
		}
		if done, err := q.isAnswered(in.Approve); done || err != nil {
			return err
		}
		if end, why := q.over(); why != nil {
			refused = why
			_, err := tx.Exec(ctx, `UPDATE move_approvals SET state = $2 WHERE id = $1`, in.ID, end)
			return err
		}
		if in.Approve {
			target := switching.Target{Mode: q.Mode, PoolID: q.PoolID}
			if err := CheckPoolOpen(ctx, tx, switching.SwitchRequest{AgentID: q.AgentID, Target: target}); err != nil {
				return err
			}
			note = q.note()
		}
		return q.answer(ctx, tx, in)
	})
	if err == nil {
		err = refused
	}
	if err != nil {
		return nil, "", err
	}
	out, err = s.Get(ctx, in.ClientID, in.ID)
	return out, note, err
}

// isAnswered says whether the question has this answer already. Fails with
// approval.already_answered when it has the other one.
func (q *questioned) isAnswered(approve bool) (bool, error) {
	var was bool
	given := "rejected"
	switch q.State {
	case approval.IsRejected:
	case approval.Approved, approval.Used:
		was, given = true, "approved"
	default:
		return false, nil
	}
	if q.State == approval.Approved && !q.Now.Before(q.ExpiresAt) {
		return false, nil // it has lapsed
	}
	if was == approve {
		return true, nil
	}
	return false, approval.AlreadyAnswered.New("The move was %s by %s at %s.", given, q.AnsweredBy,
		q.AnsweredAt.UTC().Format("2006-01-02 15:04:05 UTC"))
}

// over says why the question can be answered no more, and its end; nil: it can.
func (q *questioned) over() (approval.State, error) {
	switch {
	case q.State == approval.IsLapsed || q.State != approval.IsOutdated && !q.Now.Before(q.ExpiresAt):
		return approval.IsLapsed, approval.Lapsed.New("The time for this answer ended at %s, so the agent stays.",
			q.ExpiresAt.UTC().Format("2006-01-02 15:04:05 UTC"))
	case q.Deleted:
		return approval.IsOutdated, approval.Outdated.New("The agent %s was removed.", q.Name)
	case q.Primary != q.InstanceID:
		return approval.IsOutdated, approval.Outdated.New("The agent %s has left the instance %s that this was about.", q.Name,
			q.InstanceID)
	case q.State == approval.IsOutdated || q.Rules == nil || q.Rules.PolicyOf(q.Kind) != approval.Ask:
		return approval.IsOutdated, approval.Outdated.New("Moves of the kind %s are asked about no longer.", q.Kind)
	case !q.Offered:
		return approval.IsOutdated, approval.Outdated.New("The pool %s is no longer offered.", q.PoolID)
	}
	return "", nil
}

// note says that the engine has changed its mind since it asked.
func (q *questioned) note() string {
	d := q.Decided
	if d == nil || q.Kind != approval.ToSpot && q.Kind != approval.ToOnDemand {
		return ""
	}
	mode, pool := d.Mode, d.PoolID
	if w := d.Wanted; w != nil {
		mode, pool = agent.Spot, w.PoolID
		if w.Action == engine.SwitchToOnDemand {
			mode = agent.OnDemand
		}
	}
	if mode == q.Mode && (mode == agent.OnDemand || pool == q.PoolID) {
		return ""
	}
	return "The engine decided otherwise since it asked (" + d.Reason +
		") The move is made if it is still better than staying at the next run."
}

func (q *questioned) answer(ctx context.Context, tx pgx.Tx, in Answer) error {
	state, event, word, until := approval.IsRejected, "move_rejected", "rejected", q.ExpiresAt
	if in.Approve {
		state, event, word, until = approval.Approved, "move_approved", "approved", q.Rules.ValidUntil(q.Now)
	}
	_, err := tx.Exec(ctx, `
		UPDATE move_approvals
		SET state = $2,
			answered_at = clock_timestamp(),
			answered_by = $3,
			expires_at = $4
		WHERE id = $1`, in.ID, state, in.By, until)
	if err != nil {
		return err
	}
	return pg.RecordEvent(ctx, tx, pg.EventRecord{
		ClientID: q.Owner,
		AgentID:  q.AgentID,
		Type:     event,
		Severity: "info",
		Actor:    in.By,
		Message:  "The move of " + q.Name + " to " + approval.Place(q.Mode, q.PoolID) + " was " + word,
		Metadata: map[string]any{
			"approval_id": in.ID,
			"before":      map[string]any{"state": q.State},
			"after":       map[string]any{"state": state},
		},
	})
}

// CloseOver ends the open questions whose time is over, or whose agent has left the instance that
// they are about. It sets a level, so a second run changes nothing.
func (s *Approvals) CloseOver(ctx context.Context) error {
	return s.DB.InTx(ctx, func(tx pgx.Tx) error {
		found, err := tx.Query(ctx, `
			WITH due AS (
				SELECT x.id, `+approvalState+` AS ended
				FROM move_approvals x
				JOIN agents a ON a.id = x.agent_id
				WHERE x.state IN ('pending', 'approved')
				FOR NO KEY UPDATE OF x SKIP LOCKED)
			UPDATE move_approvals x
			SET state = d.ended
			FROM due d
			WHERE d.id = x.id
			  AND d.ended IN ('lapsed', 'outdated')
			RETURNING x.id, x.client_id, x.agent_id, x.state, x.mode, x.pool_id, x.answered_by`)
		if err != nil {
			return err
		}
		type closed struct {
			ID, ClientID, AgentID string
			State                 approval.State
			Mode                  agent.Mode
			PoolID, AnsweredBy    string
		}
		all, err := pgx.CollectRows(found, pgx.RowToStructByPos[closed])
		if err != nil {
			return err
		}
		for _, x := range all {
			why := "was not approved in time"
			switch {
			case x.State == approval.IsOutdated:
				why = "is no longer asked about: the agent has left the instance"
			case x.AnsweredBy != "":
				why = "was approved and has lapsed: it was not worth it any more, or something held it back"
			}
			if err := pg.RecordEvent(ctx, tx, pg.EventRecord{
				ClientID: x.ClientID,
				AgentID:  x.AgentID,
				Type:     "move_approval_ended",
				Severity: "info",
				Message:  "The move to " + approval.Place(x.Mode, x.PoolID) + " " + why + ". The agent stays.",
				Metadata: map[string]any{"approval_id": x.ID, "state": x.State},
				Key:      "move_approval_ended/" + x.ID,
			}); err != nil {
				return err
			}
		}
		return nil
	})
}

// ApprovedRequests lists approved moves that a program asked for. No engine decides about
// those again, so they are ordered as they are.
func (s *Approvals) ApprovedRequests(ctx context.Context, limit int) ([]activities.ApprovedMove, error) {
	return pg.QueryRows[activities.ApprovedMove](ctx, s.DB, `
		SELECT x.id, x.agent_id, a.logical_agent_id AS name, x.mode, x.pool_id, x.instance_type, x.reason, x.answered_by
		FROM move_approvals x
		JOIN agents a ON a.id = x.agent_id
		JOIN instances i ON i.agent_id = a.id AND i.role = 'primary' AND i.id = x.instance_id
		WHERE x.state = 'approved'
		  AND x.kind = 'requested'
		  AND x.expires_at > now()
		  AND a.status <> 'deleted'
		ORDER BY x.answered_at, x.id
		LIMIT $1`, limit)
}
