package views

import (
	"context"

	"spotkeeper/internal/postgres/pg"
)

// MonthView is what a client paid and saved in a month, in USD.
type MonthView struct {
	Year     int
	Month    int // 1 to 12
	Baseline float64
	Actual   float64
	Savings  float64
}

// SavingsByMonth reads a client's last months, oldest first.
func (v *Views) SavingsByMonth(ctx context.Context, clientID string, months int) ([]MonthView, error) {
	return pg.QueryRows[MonthView](ctx, v.DB, `SELECT year, month, baseline, actual, savings FROM (
			SELECT extract(year FROM month)::int AS year, extract(month FROM month)::int AS month, month AS first,
			       baseline::float8 AS baseline, actual::float8 AS actual, savings::float8 AS savings
			FROM client_savings WHERE client_id = $1 ORDER BY client_savings.month DESC LIMIT $2) x ORDER BY first`,
		clientID, months)
}

// GrowthView is how many clients there were on a day.
type GrowthView struct {
	Day    string // YYYY-MM-DD, UTC
	Total  int
	New    int
	Active int
}

// Growth reads the daily counts since some days ago, oldest first. Today has no
// snapshot yet, so it is counted.
func (v *Views) Growth(ctx context.Context, days int) ([]GrowthView, error) {
	return pg.QueryRows[GrowthView](ctx, v.DB, `
		SELECT to_char(day, 'YYYY-MM-DD') AS day, total, new_clients AS new, active FROM client_snapshots
		WHERE day >= (now() AT TIME ZONE 'UTC')::date - $1::int AND day < (now() AT TIME ZONE 'UTC')::date
		UNION ALL
		SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD'), count(*)::int,
			(count(*) FILTER (WHERE created_at >= date_trunc('day', now(), 'UTC')))::int,
		       (count(*) FILTER (WHERE status = 'active'))::int FROM clients
		ORDER BY 1`, days)
}
