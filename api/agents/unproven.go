package agents

import (
	"context"

	"spotkeeper/api/web"
)

// unproven acknowledges a notice about an instance that only the agent's claim connects
// with its client. The notice is kept and acted on as soon as the instance is proven;
// until then nothing is launched, so the agent must not stop.
func (r *Replicas) unproven(ctx context.Context, agentID, instanceID string) (*terminationAnswer, error) {
	proofs, err := r.Views.Proofs(ctx, agentID)
	if err != nil {
		return nil, err
	}
	out := &terminationAnswer{
		Action:  "unproven",
		Message: "The notice is kept, but nothing is launched for an instance that is not proven to be the client's.",
	}
	if _, out.Unproven = web.ProofOf(proofs, instanceID); out.Unproven != nil {
		out.Message = "The notice is kept, but nothing is launched: " + out.Unproven.Sentence()
	}
	return out, nil
}
