package agents

import (
	"context"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/postgres/pg"
)

// MovingShare is how many of some agents may move at once, in percent.
type MovingShare struct {
	ClientID *string // null: of all agents
	Percent  float64
	Agents   int
}

// Shares lists how many agents may move at once: of all, and of each client.
func (s *Preferences) Shares(ctx context.Context) ([]MovingShare, error) {
	return pg.QueryRows[MovingShare](ctx, s.DB, `
		SELECT NULL AS client_id, max_moving_percent::float8 AS percent,
			(SELECT count(*) FROM agents WHERE status <> 'deleted') AS agents
		FROM fleet_limits
		UNION ALL SELECT c.id, c.max_moving_percent::float8, count(a.id)
		FROM clients c
		LEFT JOIN agents a ON a.client_id = c.id AND a.status <> 'deleted'
		GROUP BY c.id
		ORDER BY client_id NULLS FIRST`)
}

// SetShare sets how many of a client's agents may move at once, or with no client
// of all, and writes an event with what was and what is. It sets a level, so twice
// is once. Fails with clients.not_found.
func (s *Preferences) SetShare(ctx context.Context, clientID string, percent float64, by string) error {
	return s.DB.InTx(ctx, func(tx pgx.Tx) error {
		what, sql, args := "all agents", `
			WITH before AS (SELECT max_moving_percent AS was FROM fleet_limits FOR NO KEY UPDATE)
			UPDATE fleet_limits SET max_moving_percent = $1 FROM before RETURNING was::float8`, []any{
			percent,
		}
		if clientID != "" {
			what, sql, args = "client "+
				clientID, `
					WITH before AS (SELECT id, max_moving_percent AS was FROM clients WHERE id = $2 FOR NO KEY UPDATE)
			UPDATE clients c
			SET max_moving_percent = $1, updated_at = now()
			FROM before b
			WHERE c.id = b.id
			RETURNING was::float8`, []any{percent, clientID}
		}
		var was float64
		err := tx.QueryRow(ctx, sql, args...).Scan(&was)
		if pg.IsNoRows(err) {
			return clients.NotFound.New("Client not found")
		}
		if err != nil || was == percent {
			return err
		}
		return pg.RecordEvent(ctx, tx, pg.EventRecord{
			ClientID: clientID,
			Type:     "moving_limit_changed",
			Severity: "warning",
			Actor:    by,
			Message:  "How many agents of " + what + " may move at once was changed",
			Metadata: map[string]any{
				"before": map[string]float64{"max_moving_percent": was},
				"after":  map[string]float64{"max_moving_percent": percent},
			},
		})
	})
}
