package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
)

// TestTwoPromotionsOfOneReplicaAreOne: one row, one change, and the old primary waits
// to be ended until it is.
func TestTwoPromotionsOfOneReplicaAreOne(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.exec(`UPDATE agents SET auto_terminate_enabled = true`)
	successor := g.successor(replica.Manual, "i-0", "i-1")
	_, err := g.Promotion(t.Context(), successor.ID)
	require.Equal(t, replica.NotFound, fault.CodeOf(err))
	for range 2 {
		_, err := g.WantPromotion(t.Context(), roles.PromotionWish{
			AgentID:   "a1",
			ReplicaID: successor.ID,
			Wait:      time.Minute,
			By:        "ops",
		})
		require.NoError(t, err)
	}
	require.Equal(t, 1, one[int](g,
		`SELECT count(*) FROM operations WHERE id = 'promotion/' || $1 AND state = 'running'`, successor.ID))
	p, err := g.Promotion(t.Context(), successor.ID)
	require.NoError(t, err)
	require.Equal(t, lines("a1", false, "ops", false), lines(p.AgentID, p.Demote, p.By, p.Changed))
	require.Positive(t, p.Left)
	require.False(t, p.AcceptSilent)
	for _, accept := range []bool{true, false} {
		_, err := g.WantPromotion(t.Context(), roles.PromotionWish{AgentID: "a1", ReplicaID: successor.ID, AcceptSilent: accept})
		require.NoError(t, err)
		p, err = g.Promotion(t.Context(), successor.ID)
		require.NoError(t, err)
		require.True(t, p.AcceptSilent, "once accepted, it stays so")
	}

	before := g.set()
	for range 2 {
		_, err = g.ChangeRoles(t.Context(), before.Promote(successor, false))
		require.NoError(t, err)
	}
	p, err = g.Promotion(t.Context(), successor.ID)
	require.NoError(t, err)
	require.Equal(t, lines(true, roles.ByPromotion, "i-0", "i-1", true),
		lines(p.Changed, p.Cause, p.OldID, p.NewID, p.RetireOld))
	g.sound()
}

// TestAPromotionThatAFailoverAnswered has changed, and leaves the old instance to AWS.
func TestAPromotionThatAFailoverAnswered(t *testing.T) {
	t.Parallel()

	g := guard(t)
	successor := g.successor(replica.Manual, "i-0", "i-1")
	_, err := g.WantPromotion(t.Context(), roles.PromotionWish{AgentID: "a1", ReplicaID: successor.ID, Wait: time.Minute})
	require.NoError(t, err)
	g.take("k1", termination("i-0"))
	p, err := g.Promotion(t.Context(), successor.ID)
	require.NoError(t, err)
	require.Equal(t, lines(true, roles.ByTermination, false), lines(p.Changed, p.Cause, p.RetireOld))
}

// TestAStandbyWhoseAgentIsSilentIsUnheard: only where a heartbeat is expected.
func TestAStandbyWhoseAgentIsSilentIsUnheard(t *testing.T) {
	t.Parallel()

	g := guard(t)
	successor := g.successor(replica.Manual, "i-0", "i-1")
	unheard := func() bool { return g.set().Replicas[0].Unheard }
	require.False(t, unheard(), "the primary's agent has never spoken either")
	g.exec(`UPDATE instances SET last_seen_at = now() WHERE id = 'i-0'`)
	require.True(t, unheard())
	g.exec(`UPDATE replicas SET launcher = 'agent' WHERE id = $1`, successor.ID)
	require.False(t, unheard(), "the agent that launched it speaks for it")
	g.exec(`UPDATE replicas SET launcher = 'control-plane' WHERE id = $1`, successor.ID)
	g.exec(`UPDATE instances SET last_seen_at = now() WHERE id = 'i-1'`)
	require.False(t, unheard(), "it has spoken")
}
