package views

import (
	"context"

	"spotkeeper/internal/domain/adoption"
	"spotkeeper/internal/postgres/pg"
)

// ProofView says what connects an instance with its client. Cause, Reason and Repair are
// of one that is unproven.
type ProofView struct {
	InstanceID string
	Proof      adoption.Proof
	Cause      adoption.Cause
	Reason     string
	Repair     string
}

const selectProofs = `
SELECT id AS instance_id, proof, unproven_cause AS cause, unproven_reason AS reason, unproven_repair AS repair
FROM instances
WHERE agent_id = $1
  AND role <> 'retired'
`

// Proofs lists what connects an agent's instances, those that play a part, with its client.
func (v *Views) Proofs(ctx context.Context, agentID string) ([]ProofView, error) {
	return pg.QueryRows[ProofView](ctx, v.DB, selectProofs, agentID)
}
