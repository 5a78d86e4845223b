package views

import (
	"context"
	"time"

	"gorm.io/gorm"

	"spotkeeper/internal/postgres/entity"
	"spotkeeper/internal/postgres/pg"
)

// SwitchView is one switch of a client's history.
type SwitchView struct {
	ID            string
	OldID         string
	NewID         string
	InitiatedAt   time.Time
	At            time.Time // launched, else begun
	FromMode      string
	ToMode        string
	FromPool      *string
	ToPool        *string
	Trigger       string
	Price         float64 // USD per hour, of what it moved to
	SavingsImpact float64 // USD per hour; positive is cheaper
}

// switchColumns are what a history shows of a switch.
const switchColumns = `id, old_id, new_id, initiated_at, from_mode, to_mode, from_pool, to_pool, trigger,
	coalesce(launched_at, initiated_at) AS at,
	coalesce(CASE WHEN to_mode = 'spot' THEN new_spot ELSE on_demand END, 0) AS price,
	coalesce(savings_impact, 0) AS savings_impact`

// SwitchHistory lists a client's switches that changed something, newest first.
func (v *Views) SwitchHistory(ctx context.Context, clientID, instanceID string, p pg.Page) ([]SwitchView, error) {
	q := gorm.G[entity.Switch](v.DB.Gorm).Select(switchColumns).Where("client_id = ? AND phase <> 'abandoned'",
		clientID)
	if instanceID != "" {
		q = q.Where("old_id = ? OR new_id = ?", instanceID, instanceID)
	}
	return pg.Find[SwitchView](ctx, q.Scopes(pg.NewestFirst(p, "initiated_at")))
}

// NamedCount is a number under a name.
type NamedCount struct {
	Name string
	N    int
}

// ModeDistribution counts a client's live instances per mode.
func (v *Views) ModeDistribution(ctx context.Context, clientID string) ([]NamedCount, error) {
	return pg.QueryRows[NamedCount](ctx, v.DB, `SELECT mode AS name, count(*) AS n FROM instances
		WHERE client_id = $1 AND role <> 'retired' GROUP BY mode ORDER BY mode`, clientID)
}

// SwitchFrequency counts a client's switches per day (UTC) of the last 30.
func (v *Views) SwitchFrequency(ctx context.Context, clientID string) ([]NamedCount, error) {
	return pg.QueryRows[NamedCount](ctx, v.DB, `
		SELECT to_char(initiated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS name, count(*) AS n FROM switches
		WHERE client_id = $1 AND phase <> 'abandoned' AND initiated_at > now() - interval '30 days'
		GROUP BY 1 ORDER BY 1`, clientID)
}
