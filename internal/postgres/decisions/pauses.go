package decisions

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"gorm.io/gorm"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/postgres/entity"
	"spotkeeper/internal/postgres/pg"
)

// Pauses stores the pauses of voluntary moves. A subject has at most two: one by
// operators and one by its client. The callers that may set a pause may lift it.
type Pauses struct{ DB *pg.DB }

// PauseSubject is whom a pause is about, and who asks.
type PauseSubject struct {
	Scope    engine.Scope
	ClientID string // of the client's scope; with another scope, the tenant that the agent must belong to
	AgentID  string
	Operator bool // asks as an operator
	By       string
}

// PauseView is a pause that holds.
type PauseView struct {
	Scope      engine.Scope `json:"scope"`
	ClientID   *string      `json:"client_id"`
	AgentID    *string      `json:"agent_id"`
	ByOperator bool         `json:"by_operator"`
	Until      time.Time    `json:"until"`
	Reason     string       `json:"reason"`
	CreatedBy  string       `json:"created_by"`
	CreatedAt  time.Time    `json:"created_at"`
	AgentName  *string      `json:"agent_name"`
	ClientName *string      `json:"client_name"`
}

const pauseColumns = `*,
	(SELECT logical_agent_id FROM agents a WHERE a.id = pauses.agent_id) AS agent_name,
	(SELECT name FROM clients c WHERE c.id = pauses.client_id) AS client_name`

// Set pauses the subject, or changes how its pause ends, and writes an event with
// what was and what is. It sets a level, so a second run changes nothing. Fails with
// agent.not_found and clients.not_found.
func (s *Pauses) Set(ctx context.Context, on PauseSubject, pause engine.Pause) error {
	return s.DB.InTx(ctx, func(tx pgx.Tx) error {
		subject, owner, err := on.find(ctx, tx)
		if err != nil {
			return err
		}
		var before, after []byte
		err = tx.QueryRow(ctx, `
			WITH before AS (SELECT `+pauseObject+
			` AS what FROM pauses p WHERE scope = $1 AND subject = $2 AND by_operator = $3 AND until > now()),
			after AS (
				INSERT INTO pauses AS p (scope, subject, by_operator, client_id, agent_id, until, reason, created_by)
				VALUES ($1, $2, $3, nullif($4, ''), nullif($5, ''), $6, $7, $8)
				ON CONFLICT ON CONSTRAINT pauses_one_per_subject
				DO UPDATE SET until = excluded.until, reason = excluded.reason, created_by = excluded.created_by,
					created_at = CASE WHEN p.until > now() THEN p.created_at ELSE now() END
				RETURNING `+pauseObject+` AS what)
			SELECT (SELECT what FROM before), (SELECT what FROM after)`,
			on.Scope, subject, on.Operator, owner, on.AgentID, pause.Until, pause.Reason, on.By).Scan(&before, &after)
		if err != nil || string(before) == string(after) {
			return err
		}
		return on.recordPauseEvent(ctx, tx, owner, "moves_paused",
			"Voluntary moves of "+on.name(subject)+" are paused until "+pause.Until.UTC().
				Format("2006-01-02 15:04 UTC"), before, after)
	})
}

// Lift ends the pauses of the subject that the caller may lift: a client its own,
// an operator all. It says whether one held, and whose the subject is. Fails with
// agent.not_found and clients.not_found.
func (s *Pauses) Lift(ctx context.Context, on PauseSubject) (lifted bool, owner string, err error) {
	err = s.DB.InTx(ctx, func(tx pgx.Tx) error {
		var subject string
		var err error
		if subject, owner, err = on.find(ctx, tx); err != nil {
			return err
		}
		r, err := tx.Query(
			ctx,
			`
				DELETE FROM pauses p
				WHERE scope = $1 AND subject = $2 AND ($3 OR NOT by_operator) AND until > now()
				RETURNING `+pauseObject,
			on.Scope,
			subject,
			on.Operator,
		)
		if err != nil {
			return err
		}
		held, err := pgx.CollectRows(r, pgx.RowTo[[]byte])
		for _, before := range held {
			if err = on.recordPauseEvent(ctx, tx, owner, "moves_resumed",
				"Voluntary moves of "+on.name(subject)+" go on", before, nil); err != nil {
				return err
			}
		}
		lifted = len(held) > 0
		return err
	})
	return lifted, owner, err
}

// List lists the pauses that hold; for a client, those that stop its agents.
func (s *Pauses) List(ctx context.Context, clientID string) ([]PauseView, error) {
	q := gorm.G[entity.Pause](s.DB.Gorm).Select(pauseColumns).Where("until > now()")
	if clientID != "" {
		q = q.Where("client_id = ? OR scope = ?", clientID, engine.ScopeGlobal)
	}
	return pg.Find[PauseView](ctx,
		q.Order("array_position(ARRAY['global', 'client', 'agent'], scope), subject, by_operator DESC"))
}

const pauseObject = `jsonb_build_object('until', p.until, 'reason', p.reason, 'by', p.created_by, 'by_operator', p.by_operator)`

// find returns the subject's id and whose it is, and holds it until the
// transaction ends.
func (on PauseSubject) find(ctx context.Context, tx pgx.Tx) (subject, owner string, err error) {
	switch on.Scope {
	case engine.ScopeAgent:
		err = tx.QueryRow(
			ctx,
			`
				SELECT id, client_id
				FROM agents
				WHERE id = $1 AND ($2 = '' OR client_id = $2) AND status <> 'deleted' FOR NO KEY UPDATE`,
			on.AgentID,
			on.ClientID,
		).Scan(&subject, &owner)
		if pg.IsNoRows(err) {
			err = agent.NotFound.New("Agent not found")
		}
	case engine.ScopeClient:
		err = tx.QueryRow(ctx, `SELECT id, id FROM clients WHERE id = $1 FOR NO KEY UPDATE`, on.ClientID).
			Scan(&subject, &owner)
		if pg.IsNoRows(err) {
			err = clients.NotFound.New("Client not found")
		}
	default:
		_, err = tx.Exec(ctx, `SELECT FROM fleet_limits FOR NO KEY UPDATE`)
	}
	return subject, owner, err
}

func (on PauseSubject) name(subject string) string {
	if on.Scope == engine.ScopeGlobal {
		return "all agents"
	}
	return string(on.Scope) + " " + subject
}

func (on PauseSubject) recordPauseEvent(
	ctx context.Context,
	tx pgx.Tx,
	owner, event, message string,
	before, after []byte,
) error {
	return pg.RecordEvent(ctx, tx, pg.EventRecord{
		ClientID: owner,
		AgentID:  on.AgentID,
		Type:     event,
		Severity: "warning",
		Actor:    on.By,
		Message:  message,
		Metadata: map[string]any{"scope": on.Scope, "before": pg.JSONOrNull(before), "after": pg.JSONOrNull(after)},
	})
}
