package decisions

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/domain/approval"
	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/postgres/pg"
)

// MoveRules stores what clients allow of voluntary moves.
type MoveRules struct{ DB *pg.DB }

// rulesObject is the rules of row r as approval.Rules.
const rulesObject = `jsonb_build_object(
		'policies', jsonb_build_object('to_spot', r.to_spot, 'to_ondemand', r.to_ondemand, 'requested', r.requested,
			'maintenance', r.maintenance),
		'answer_minutes', r.answer_minutes,
		'windows', r.windows)`

// consentOfAgent is approval.Consent of agent a; null for a client without rules.
const consentOfAgent = `(SELECT ` + rulesObject + ` || jsonb_build_object('approvals', (
			SELECT coalesce(jsonb_agg(jsonb_build_object('id', x.id, 'kind', x.kind, 'state', x.state,
				'instance_id', x.instance_id, 'mode', x.mode, 'pool_id', x.pool_id, 'expires_at', x.expires_at,
				'answered_at', x.answered_at, 'answered_by', x.answered_by) ORDER BY x.asked_at DESC, x.id), '[]')
			FROM move_approvals x
			WHERE x.agent_id = a.id
			  AND x.state IN ('pending', 'approved', 'rejected', 'lapsed')
			  AND greatest(x.expires_at, x.answered_at) > now() - interval '1 day'))
		FROM move_rules r
		WHERE r.client_id = a.client_id)`

// Rules reads what a client allows; the defaults for one that has said nothing. Fails with
// clients.not_found.
func (s *MoveRules) Rules(ctx context.Context, clientID string) (approval.Rules, error) {
	out := approval.Rules{AnswerMinutes: approval.DefaultAnswer, Windows: []approval.Window{}}
	var raw []byte
	err := s.DB.Pool.QueryRow(ctx, `
		SELECT (SELECT `+rulesObject+` FROM move_rules r WHERE r.client_id = c.id)
		FROM clients c
		WHERE c.id = $1`, clientID).Scan(&raw)
	switch {
	case pg.IsNoRows(err):
		return out, clients.NotFound.New("Client not found")
	case err != nil:
		return out, pg.Translate(err)
	case raw == nil:
		return out, nil
	}
	return out, json.Unmarshal(raw, &out)
}

// SetRules stores what a client allows, and writes an event with what was and what is. Open
// questions about kinds of moves that are no longer asked about end as outdated. It sets a level,
// so a second run changes nothing. Fails with clients.not_found.
func (s *MoveRules) SetRules(ctx context.Context, clientID string, rules approval.Rules, by string) error {
	windows, err := json.Marshal(pg.NonNilList(rules.Windows))
	if err != nil {
		return err
	}
	asked := []string{}
	for _, k := range approval.Kinds() {
		if rules.PolicyOf(k) == approval.Ask {
			asked = append(asked, string(k))
		}
	}
	return s.DB.InTx(ctx, func(tx pgx.Tx) error {
		var found bool
		err := tx.QueryRow(ctx, `SELECT true FROM clients WHERE id = $1 FOR NO KEY UPDATE`, clientID).Scan(&found)
		if pg.IsNoRows(err) {
			return clients.NotFound.New("Client not found")
		}
		if err != nil {
			return err
		}
		var before, after []byte
		err = tx.QueryRow(ctx, `
			WITH before AS (SELECT `+rulesObject+` AS what FROM move_rules r WHERE client_id = $1),
			after AS (
				INSERT INTO move_rules AS r (client_id, to_spot, to_ondemand, requested, maintenance, answer_minutes, windows)
				VALUES ($1, $2, $3, $4, $5, $6, $7)
				ON CONFLICT (client_id) DO UPDATE
				SET to_spot = excluded.to_spot,
					to_ondemand = excluded.to_ondemand,
					requested = excluded.requested,
					maintenance = excluded.maintenance,
					answer_minutes = excluded.answer_minutes,
					windows = excluded.windows,
					updated_at = now()
				RETURNING `+rulesObject+` AS what)
			SELECT (SELECT what FROM before), (SELECT what FROM after)`,
			clientID, rules.PolicyOf(approval.ToSpot), rules.PolicyOf(approval.ToOnDemand),
			rules.PolicyOf(approval.Requested), rules.PolicyOf(approval.Maintenance), rules.AnswerMinutes, windows).
			Scan(&before, &after)
		if err != nil || string(before) == string(after) {
			return err
		}
		if _, err := tx.Exec(ctx, `
			UPDATE move_approvals
			SET state = 'outdated'
			WHERE client_id = $1
			  AND state IN ('pending', 'approved')
			  AND kind <> ALL ($2)`, clientID, asked); err != nil {
			return err
		}
		return pg.RecordEvent(ctx, tx, pg.EventRecord{
			ClientID: clientID,
			Type:     "move_rules_changed",
			Severity: "warning",
			Actor:    by,
			Message:  "What is allowed of voluntary moves was changed",
			Metadata: map[string]any{"before": pg.JSONOrNull(before), "after": pg.JSONOrNull(after)},
		})
	})
}
