package views

import (
	"context"
	"time"

	"spotkeeper/internal/postgres/pg"
)

// SavingsLine is what an instance contributed to a client's month. Amounts are exact
// decimals as text.
type SavingsLine struct {
	Month           string // YYYY-MM
	Provisional     bool
	Agent           string
	AgentID         string
	InstanceID      string
	InstanceType    string
	Region          string
	AZ              string
	Mode            string
	Seconds         string
	PrimarySeconds  string
	UnpricedSeconds string
	Baseline        string
	PrimaryCost     string
	BesideCost      string
	VolumeCost      string
	Product         string
	Currency        string
	Savings         string
}

// SavingsLines lists the lines of a client's months, oldest first. Their sums are the months'
// figures. A month whose figures were made before there were lines has none.
func (v *Views) SavingsLines(ctx context.Context, clientID string, since time.Time) ([]SavingsLine, error) {
	return pg.QueryRows[SavingsLine](ctx, v.DB, `
SELECT to_char(l.month, 'YYYY-MM') AS month, c.provisional, l.agent, l.agent_id, l.instance_id, l.instance_type,
    l.region, l.az, l.mode, l.seconds::text AS seconds, l.primary_seconds::text AS primary_seconds,
    l.unpriced_seconds::text AS unpriced_seconds, l.baseline::text AS baseline,
    l.primary_cost::text AS primary_cost, l.beside_cost::text AS beside_cost,
    l.volume_cost::text AS volume_cost, l.product, l.currency,
    (l.baseline - l.primary_cost - l.beside_cost - l.volume_cost)::text AS savings
FROM savings_lines l
JOIN client_savings c ON c.client_id = l.client_id AND c.month = l.month
WHERE l.client_id = $1
  AND l.month >= $2::date
ORDER BY l.month, l.agent, l.instance_id`, clientID, since.Format(time.DateOnly))
}
