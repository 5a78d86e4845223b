package decisions

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"spotkeeper/activities"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/postgres/pg"
)

// Breakers pause voluntary moves by themselves when too many have failed.
type Breakers struct{ DB *pg.DB }

var _ activities.BreakerStore = (*Breakers)(nil)

// selectTroubled counts, for each client and for all together (an empty subject), the
// voluntary moves that failed, and those that met a pool without capacity, in the last $1
// seconds and since the breaker tripped last. A move counts once. Moves that were called off do
// not count: nothing was wrong with those. In the count of all together a client counts for no
// more than what pauses its own moves, so that no client pauses the moves of the others.
const selectTroubled = `
WITH troubled AS (
	SELECT c.id, c.client_id, s.ended_at AS at
	FROM switches s
	JOIN commands c ON c.id = s.id
	WHERE s.phase = 'abandoned'
	  AND s.ended_at > now() - $1::float8 * interval '1 second'
	  AND c.priority < 50
	  AND coalesce(s.error_code, '') NOT IN ('', 'switch.called_off', 'operation.cancelled')
	UNION ALL
	SELECT c.id, c.client_id, l.ended_at
	FROM launches l
	JOIN replicas r ON r.id = l.replica_id
	JOIN commands c ON c.id = r.made_for
	WHERE r.kind = 'switch'
	  AND l.state = 'failed'
	  AND l.error_code = 'launch.no_capacity'
	  AND l.ended_at > now() - $1::float8 * interval '1 second'
	  AND c.priority < 50)
SELECT t.client_id, count(DISTINCT t.id)
FROM troubled t
LEFT JOIN move_breakers b ON b.subject = t.client_id
WHERE t.at > coalesce(b.tripped_at, '-infinity')
GROUP BY t.client_id
HAVING count(DISTINCT t.id) >= $2::int
UNION ALL
SELECT '', sum(least(n, $2::int))
FROM (
	SELECT count(DISTINCT t.id) AS n
	FROM troubled t
	LEFT JOIN move_breakers b ON b.subject = ''
	WHERE t.at > coalesce(b.tripped_at, '-infinity')
	GROUP BY t.client_id) c
HAVING sum(least(n, $2::int)) >= $3::int`

// Trip pauses the voluntary moves of each client with too many failures, and of all clients.
// One whose moves operators have paused already is left as it is. The failures that led to a
// pause do not lead to another, so a person who lifts it is not overruled. Two runs at once trip
// once: the second waits for the row of the first.
func (s *Breakers) Trip(ctx context.Context, rule engine.Breaker) (tripped []string, err error) {
	err = s.DB.InTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT FROM fleet_limits FOR NO KEY UPDATE`); err != nil {
			return err
		}
		found, err := tx.Query(ctx, selectTroubled, rule.Within.Seconds(), rule.Moves, rule.FleetMoves)
		if err != nil {
			return err
		}
		counts := map[string]int{}
		var subject string
		var n int
		if _, err := pgx.ForEachRow(found, []any{&subject, &n}, func() error {
			counts[subject] = n
			return nil
		}); err != nil {
			return err
		}
		for subject, n := range counts {
			held, err := s.trip(ctx, tx, subject, n, rule)
			if err != nil {
				return err
			}
			if held {
				tripped = append(tripped, subject)
			}
		}
		return nil
	})
	return tripped, err
}

func (s *Breakers) trip(ctx context.Context, tx pgx.Tx, subject string, n int, rule engine.Breaker) (bool, error) {
	scope, whose := engine.ScopeClient, "this client's"
	if subject == "" {
		scope, whose = engine.ScopeGlobal, "all"
	}
	reason := fmt.Sprintf("%d voluntary moves failed or met no capacity within %s", n, minutesOf(rule.Within))
	var until time.Time
	err := tx.QueryRow(ctx, `
		INSERT INTO pauses AS p (scope, subject, by_operator, client_id, until, reason, created_by)
		VALUES ($1, $2, true, nullif($2, ''), now() + $3::float8 * interval '1 second', $4, 'breaker')
		ON CONFLICT ON CONSTRAINT pauses_one_per_subject DO UPDATE
		SET until = excluded.until,
			reason = excluded.reason,
			created_by = excluded.created_by,
			created_at = now()
		WHERE p.until <= now()
		RETURNING until`, scope, subject, rule.Pause.Seconds(), reason).Scan(&until)
	if pg.IsNoRows(err) {
		return false, nil // it is paused already
	}
	if err != nil {
		return false, err
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO move_breakers AS b (subject, client_id)
		VALUES ($1, nullif($1, ''))
		ON CONFLICT (subject) DO UPDATE
		SET tripped_at = now()`, subject); err != nil {
		return false, err
	}
	return true, pg.RecordEvent(ctx, tx, pg.EventRecord{
		ClientID: subject,
		Type:     "moves_paused",
		Severity: "error",
		Actor:    "breaker",
		Message: fmt.Sprintf("Voluntary moves of %s agents are paused until %s: %s. Failovers go on.", whose,
			until.UTC().Format("2006-01-02 15:04 UTC"), reason),
		Metadata: map[string]any{
			"scope": scope, "before": nil,
			"after": map[string]any{"until": until, "reason": reason, "by": "breaker", "by_operator": true},
		},
		Notify: true,
	})
}

func minutesOf(d time.Duration) string { return fmt.Sprintf("%d minutes", int(d.Minutes())) }
