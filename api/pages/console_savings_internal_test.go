package pages

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/api/web"
	"spotkeeper/internal/postgres/views"
)

// TestSavingsMembers: each figure of a client's month has its own member.
func TestSavingsMembers(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	computed, err := json.Marshal(web.ExactTime{Time: at})
	require.NoError(t, err)
	got, err := json.Marshal(newClientMonth(views.SavingsView{
		ClientID: "k1", ClientName: "Acme", Month: "2026-02", Baseline: 1, Actual: 2, Savings: 3, Standbys: 4, Hours: 5,
		Unpriced: 6, Provisional: true, ComputedAt: at,
	}))
	require.NoError(t, err)
	require.JSONEq(t, `{"client_id": "k1", "client_name": "Acme", "month": "2026-02", "on_demand_cost": 1, "actual_cost": 2,
		"savings": 3, "standby_cost": 4, "primary_hours": 5, "unpriced_hours": 6, "provisional": true,
		"computed_at": `+string(computed)+`}`, string(got))
}
