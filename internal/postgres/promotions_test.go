package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/postgres"
	"spotkeeper/internal/replica"
	"spotkeeper/internal/roles"
)

// TestAPromotionLeftAloneIsSeen holds that an old primary is not forgotten when
// whoever changed the roles died before the aftercare was started.
func TestAPromotionLeftAloneIsSeen(t *testing.T) {
	t.Parallel()

	g := guard(t)
	desk := &postgres.Notices{DB: g.db}
	in := change(g.set(), g.heir(replica.Manual, "i-0", "i-1"), roles.ByPromotion, roles.Retire)
	in.OperationID = "promotion/" + in.ReplicaID
	set, err := g.ChangeRoles(t.Context(), in)
	require.NoError(t, err)
	require.Empty(t, set.Promotions, "its start is still on the way")

	g.exec(`UPDATE role_changes SET changed_at = changed_at - interval '1 minute'`)
	require.Equal(t, []roles.Change{{AgentID: "a1", Epoch: 0, OldID: "i-0", NewID: "i-1", ReplicaID: in.ReplicaID, Fate: roles.Retire,
		Cause: roles.ByPromotion, OperationID: in.OperationID}}, g.set().Promotions)
	woken, err := desk.Unattended(t.Context(), time.Minute, 10)
	require.NoError(t, err)
	require.Equal(t, []string{"a1"}, woken)

	g.exec(`INSERT INTO operations (id, kind, client_id, agent_id) VALUES ($1, 'promotion', 'k1', 'a1')`, in.OperationID)
	require.Empty(t, g.set().Promotions, "its workflow has begun")
}
