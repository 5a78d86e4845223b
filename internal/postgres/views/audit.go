package views

import (
	"context"
	"encoding/json"
	"time"

	"spotkeeper/internal/postgres/pg"
)

// EventView is one entry of the log of events: what happened, and for a change that a
// person asked for, who asked and the state before and after.
type EventView struct {
	ID         int64
	At         time.Time
	Type       string
	Severity   string
	Actor      string
	Message    string
	ClientID   *string
	ClientName *string
	AgentID    *string
	AgentName  *string
	Metadata   json.RawMessage
}

// EventFilter chooses events. Empty members do not filter.
type EventFilter struct {
	ClientID, AgentID, Type, Text string
	People                        bool      // only what operators and tenants asked for
	Since, Until                  time.Time // zero: no bound; Until is outside
	Before                        int64     // ids below it; 0: from the newest
	Limit                         int
}

// chosenEvents are the events e that a filter chooses. Its parameters are those of args.
const chosenEvents = `
FROM events e
LEFT JOIN clients c ON c.id = e.client_id
LEFT JOIN agents a ON a.id = e.agent_id
WHERE ($1 = '' OR e.client_id = $1)
  AND ($2 = '' OR e.agent_id = $2)
  AND ($3 = '' OR e.type = $3)
  AND ($4 = '' OR strpos(lower(e.message), lower($4)) > 0 OR strpos(lower(e.actor), lower($4)) > 0)
  AND (NOT $5 OR starts_with(e.actor, 'operator:') OR starts_with(e.actor, 'client:'))
  AND ($6::bigint = 0 OR e.id < $6)
  AND ($7::timestamptz IS NULL OR e.created_at >= $7)
  AND ($8::timestamptz IS NULL OR e.created_at < $8)
ORDER BY e.id DESC`

func (f EventFilter) args(more ...any) []any {
	return append([]any{
		f.ClientID, f.AgentID, f.Type, f.Text, f.People, f.Before, pg.TimeOrNull(f.Since), pg.TimeOrNull(f.Until),
	}, more...)
}

// EventLog lists events, newest first.
func (v *Views) EventLog(ctx context.Context, f EventFilter) ([]EventView, error) {
	return pg.QueryRows[EventView](ctx, v.DB, `
SELECT e.id, e.created_at AS at, e.type, e.severity, e.actor, e.message, e.client_id, c.name AS client_name,
    e.agent_id, a.logical_agent_id AS agent_name, e.metadata`+chosenEvents+`
LIMIT $9`, f.args(f.Limit)...)
}

// EventAfter finds the event that n newer ones of the filter's go before; 0: there are no
// more than n.
func (v *Views) EventAfter(ctx context.Context, f EventFilter, n int) (id int64, err error) {
	found, err := pg.QueryRows[struct{ ID int64 }](ctx, v.DB, `
SELECT e.id`+chosenEvents+`
OFFSET $9
LIMIT 1`, f.args(n)...)
	if err != nil || len(found) == 0 {
		return 0, err
	}
	return found[0].ID, nil
}

// FoundView is a thing that a search found.
type FoundView struct {
	Kind string // client, agent, instance, operation
	ID   string
	Name string
	Note string
}

// Search finds clients and agents by a part of their name, and agents, instances and
// operations by the beginning of their id.
func (v *Views) Search(ctx context.Context, clientID, text string, limit int) ([]FoundView, error) {
	return pg.QueryRows[FoundView](ctx, v.DB, `
		SELECT kind, id, name, note FROM (
			(SELECT 1 AS rank, 'agent' AS kind, a.id, a.logical_agent_id AS name, c.name || ' · ' || a.status AS note
			 FROM agents a
			 JOIN clients c ON c.id = a.client_id
			 WHERE a.status <> 'deleted'
			   AND ($1 = '' OR a.client_id = $1)
			   AND (strpos(lower(a.logical_agent_id), lower($2)) > 0 OR starts_with(a.id, $2))
			 ORDER BY a.logical_agent_id LIMIT $3)
			UNION ALL
			(SELECT 2, 'instance', i.id, i.id, i.role || ' · ' || i.pool_id
			 FROM instances i
			 WHERE starts_with(i.id, $2)
			   AND ($1 = '' OR i.client_id = $1)
			 ORDER BY i.created_at DESC LIMIT $3)
			UNION ALL
			(SELECT 3, 'operation', o.id, o.id, o.state || ' · ' || o.summary
			 FROM operations o
			 WHERE ($1 = '' OR o.client_id = $1)
			   AND (starts_with(o.id, $2)
			   OR starts_with(o.id, o.kind || '/' || $2)
			   OR o.instance_id = $2
			   OR o.new_instance_id = $2)
			 ORDER BY o.started_at DESC LIMIT $3)
			UNION ALL
			(SELECT 4, 'client', c.id, c.name, c.status
			 FROM clients c
			 WHERE ($1 = '' OR c.id = $1)
			   AND (strpos(lower(c.name), lower($2)) > 0 OR starts_with(c.id, $2))
			 ORDER BY c.name LIMIT $3)) x
		ORDER BY rank, name
		LIMIT $3`, clientID, text, limit)
}

// SavingsView is what a client's month cost and saved, in USD.
type SavingsView struct {
	ClientID    string
	ClientName  string
	Month       string // YYYY-MM
	Baseline    float64
	Actual      float64
	Savings     float64
	Standbys    float64 // of Actual, what was not the primaries'
	Hours       float64 // that agents had a primary
	Unpriced    float64 // hours that count on neither side
	Provisional bool
	ComputedAt  time.Time
}

// SavingsOf reads the last months of a client, or with an empty clientID of all.
func (v *Views) SavingsOf(ctx context.Context, clientID string, months int) ([]SavingsView, error) {
	return pg.QueryRows[SavingsView](ctx, v.DB, `
		SELECT s.client_id, c.name AS client_name, to_char(s.month, 'YYYY-MM') AS month, s.baseline::float8 AS baseline,
			s.actual::float8 AS actual,
			s.savings::float8 AS savings, coalesce((s.details->>'replica_cost')::float8, 0) AS standbys,
			coalesce((s.details->>'primary_hours')::float8, 0) AS hours,
			coalesce((s.details->>'unpriced_hours')::float8, 0) AS unpriced,
			s.provisional, s.computed_at
		FROM client_savings s
		JOIN clients c ON c.id = s.client_id
		WHERE ($1 = '' OR s.client_id = $1)
		  AND s.month > date_trunc('month', now() AT TIME ZONE 'UTC') - $2 * interval '1 month'
		ORDER BY s.month DESC, c.name
		LIMIT 5000`, clientID, months)
}
