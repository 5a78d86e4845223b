package views

import (
	"context"
	"math"
	"strconv"
	"time"

	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/postgres/pg"
)

// ClientView is a tenant with its counts. Deleted agents do not count.
type ClientView struct {
	ID           string
	Name         string
	Email        string
	Status       string
	AgentsOnline int
	AgentsTotal  int
	Instances    int     // not retired
	TotalSavings float64 // USD
	LastSync     *time.Time
	CreatedAt    time.Time
}

// selectClients counts in grouped joins, of the clients of the page alone: one
// range of an index each, and no product of agents and instances.
const selectClients = `
WITH page AS MATERIALIZED (
    SELECT * FROM clients c WHERE ($1 = '' OR c.id = $1) AND c.created_at <= $2 AND (c.created_at < $2 OR c.id > $3)
    ORDER BY c.created_at DESC, c.id LIMIT $4)
SELECT c.id, c.name, c.email, c.status, coalesce(a.online, 0) AS agents_online, coalesce(a.total, 0) AS agents_total,
       coalesce(i.live, 0) AS instances, c.total_savings::float8 AS total_savings, c.last_sync_at AS last_sync,
       c.created_at
FROM page c
LEFT JOIN (SELECT client_id, count(*) FILTER (WHERE status = 'online') AS online, count(*) AS total
           FROM agents
           WHERE status <> 'deleted' AND client_id IN (SELECT id FROM page)
           GROUP BY client_id) a ON a.client_id = c.id
LEFT JOIN (SELECT client_id, count(*) AS live FROM instances
           WHERE role <> 'retired' AND client_id IN (SELECT id FROM page) GROUP BY client_id) i ON i.client_id = c.id
ORDER BY c.created_at DESC, c.id`

// Clients lists the tenants, newest first.
func (v *Views) Clients(ctx context.Context, p pg.Page) ([]ClientView, error) {
	at, id := p.From()
	return pg.QueryRows[ClientView](ctx, v.DB, selectClients, "", at, id, p.UpTo())
}

// Client reads one tenant. Fails with clients.not_found.
func (v *Views) Client(ctx context.Context, id string) (*ClientView, error) {
	if id == "" {
		return nil, clients.NotFound.New("Client not found")
	}
	at, after := pg.Page{}.From()
	c, err := pg.QueryRow[ClientView](ctx, v.DB, selectClients, id, at, after, 1)
	if pg.IsNoRows(err) {
		return nil, clients.NotFound.New("Client not found")
	}
	return c, err
}

// FleetStats are the figures of the operators' first page.
type FleetStats struct {
	TotalAccounts  int
	AgentsOnline   int
	AgentsTotal    int
	PoolsCovered   int
	TotalSwitches  int
	ManualSwitches int
	ModelSwitches  int
	TotalSavings   float64 // USD, each client once
}

// FleetStats counts over all tenants.
func (v *Views) FleetStats(ctx context.Context) (*FleetStats, error) {
	return pg.QueryRow[FleetStats](ctx, v.DB, `
		SELECT c.n AS total_accounts, a.online AS agents_online, a.total AS agents_total, p.n AS pools_covered,
		       s.total AS total_switches, s.manual AS manual_switches, s.model AS model_switches,
		       c.savings::float8 AS total_savings
		FROM (SELECT count(*) AS n, coalesce(sum(total_savings), 0) AS savings FROM clients) c,
		     (SELECT count(*) FILTER (WHERE status = 'online') AS online, count(*) AS total
		         FROM agents
		         WHERE status <> 'deleted') a,
		     (SELECT count(*) AS n FROM pools WHERE is_active) p,
		     (SELECT count(*) AS total, count(*) FILTER (WHERE trigger = 'manual') AS manual,
		             count(*) FILTER (WHERE trigger = 'model') AS model
		             FROM switches
		             WHERE phase IN ('retiring_old', 'done')) s`)
}

// ActivityView is one event as the operators' activity list shows it.
type ActivityView struct {
	ID        int64
	Type      string
	Message   string
	CreatedAt time.Time
}

// Activity lists the newest events of severity info and warning.
func (v *Views) Activity(ctx context.Context, p pg.Page) ([]ActivityView, error) {
	at, id := p.From()
	before, err := strconv.ParseInt(id, 10, 64)
	if err != nil { // from the first one on, or a cursor of another list
		before = math.MaxInt64
	}
	return pg.QueryRows[ActivityView](ctx, v.DB, `SELECT id, type, message, created_at FROM events
		WHERE severity IN ('info', 'warning') AND created_at <= $1 AND (created_at < $1 OR events.id < $2)
		ORDER BY created_at DESC, events.id DESC LIMIT $3`, at, before, p.UpTo())
}
