package accounts

import (
	"context"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/postgres/pg"
)

// Quotas stores the limits of each client, and counts what it has of each.
type Quotas struct{ DB *pg.DB }

const (
	selectLimits = `SELECT agents, open_replicas, launches_per_hour FROM client_limits WHERE client_id = $1`
	countUsage   = `
SELECT (SELECT count(*) FROM agents WHERE client_id = $1 AND status <> 'deleted') AS agents,
       (SELECT count(*)
           FROM replicas
           WHERE client_id = $1 AND state IN ('requested', 'launching', 'running', 'ready')) AS open_replicas,
       (SELECT count(*)
           FROM launches
           WHERE client_id = $1 AND created_at > now() - interval '1 hour') AS launches_this_hour
FROM clients
WHERE id = $1`
)

// Quota reads a client's limits and what it has of each. Fails with clients.not_found.
func (s *Quotas) Quota(ctx context.Context, clientID string) (clients.Limits, clients.Usage, error) {
	used, err := pg.QueryRow[clients.Usage](ctx, s.DB, countUsage, clientID)
	if pg.IsNoRows(err) {
		return clients.Limits{}, clients.Usage{}, clients.NotFound.New("Client not found")
	}
	if err != nil {
		return clients.Limits{}, clients.Usage{}, err
	}
	limits, err := limitsOf(ctx, s.DB.Pool, clientID)
	return limits, *used, pg.Translate(err)
}

// queryer is a pool or a transaction.
type queryer interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func limitsOf(ctx context.Context, from queryer, clientID string) (clients.Limits, error) {
	l := clients.DefaultLimits()
	err := from.QueryRow(ctx, selectLimits, clientID).Scan(&l.Agents, &l.OpenReplicas, &l.LaunchesPerHour)
	if pg.IsNoRows(err) {
		return clients.DefaultLimits(), nil
	}
	return l, err
}

// CheckLaunch says whether one more instance may be launched because the client asks for
// it. Fails with limits.open_replicas and limits.launches.
func (s *Quotas) CheckLaunch(ctx context.Context, clientID string) error {
	limits, used, err := s.Quota(ctx, clientID)
	if err != nil {
		return err
	}
	return limits.CheckLaunch(used)
}

// SetLimits changes the limits of a client. Fails with limits.invalid and
// clients.not_found.
func (s *Quotas) SetLimits(ctx context.Context, clientID string, l clients.Limits, by string) error {
	if err := l.Validate(); err != nil {
		return err
	}
	return s.DB.InTx(ctx, func(tx pgx.Tx) error {
		var known bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM clients WHERE id = $1)`, clientID).
			Scan(&known); err != nil {
			return err
		}
		if !known {
			return clients.NotFound.New("Client not found")
		}
		before, err := limitsOf(ctx, tx, clientID)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO client_limits (client_id, agents, open_replicas, launches_per_hour) VALUES ($1, $2, $3, $4)
			ON CONFLICT (client_id)
			DO UPDATE SET agents = $2, open_replicas = $3, launches_per_hour = $4, updated_at = now()`,
			clientID, l.Agents, l.OpenReplicas, l.LaunchesPerHour)
		if err != nil {
			return err
		}
		return pg.RecordEvent(ctx, tx, pg.EventRecord{
			ClientID: clientID,
			Type:     "client_limits_changed",
			Severity: "info",
			Actor:    by,
			Notify:   true,
			Message:  "What the client may have was changed",
			Metadata: map[string]any{"before": before, "after": l},
		})
	})
}

// CheckAgents refuses a new agent of a client that has as many as it may. Fails with
// limits.agents.
func CheckAgents(ctx context.Context, tx pgx.Tx, clientID string) error {
	limits, err := limitsOf(ctx, tx, clientID)
	if err != nil {
		return err
	}
	var has int
	if err := tx.QueryRow(ctx, `SELECT count(*) FROM agents WHERE client_id = $1 AND status <> 'deleted'`, clientID).
		Scan(&has); err != nil {
		return err
	}
	if has > limits.Agents { // the new one is among them
		return clients.TooManyAgents.New(
			"The client has %d agents, which is all that it may have: delete one, or ask an operator for more.",
			limits.Agents).With("limit", limits.Agents)
	}
	return nil
}
