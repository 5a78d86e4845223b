package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/postgres/pg"
)

// WantPromotion stores a person's request to promote a replica and opens its operation, once
// per replica. A second request for the same replica is the first one, unchanged, except
// that it may add that a silent agent is accepted. The caller has judged the request.
func (s *Roles) WantPromotion(ctx context.Context, in roles.PromotionWish) (*roles.AgentRoles, error) {
	return s.writeRoles(ctx, in.AgentID, func(b *pgx.Batch) {
		b.Queue(`
INSERT INTO promotions (replica_id, client_id, agent_id, demote, requested_by, wait_until, accept_silent)
SELECT r.id, r.client_id, r.agent_id, $3, $4, clock_timestamp() + $5::float8 * interval '1 second', $6
FROM replicas r
WHERE r.id = $2
  AND r.agent_id = $1
ON CONFLICT (replica_id) DO UPDATE
SET wait_until = greatest(promotions.wait_until, excluded.wait_until),
    accept_silent = promotions.accept_silent OR excluded.accept_silent`, in.AgentID, in.ReplicaID, in.Demote, in.By,
			in.Wait.Seconds(), in.AcceptSilent)
		queueOperation(b, opened{
			kind:      "promotion",
			id:        "promotion/" + in.ReplicaID,
			agentID:   in.AgentID,
			replicaID: in.ReplicaID,
			summary:   "promotion of replica " + in.ReplicaID,
			cause:     in.By,
		})
	})
}

// Promotion reads the state of a person's promotion: the request, and the change of
// roles that answered it, whichever decision made that. Fails with replica.not_found.
func (s *Roles) Promotion(ctx context.Context, replicaID string) (*roles.Promotion, error) {
	out := roles.Promotion{ReplicaID: replicaID}
	err := s.DB.Pool.QueryRow(ctx, `
SELECT p.agent_id,
    p.demote,
    p.requested_by,
    p.accept_silent,
    (extract(epoch FROM p.wait_until - clock_timestamp()) * 1000000000)::bigint,
    c.replica_id IS NOT NULL,
    coalesce(c.cause, ''),
    coalesce(c.old_id, ''),
    coalesce(c.new_id, ''),
    coalesce(o.role = 'retiring' AND o.terminate_by = 'us', false)
FROM promotions p
LEFT JOIN role_changes c ON c.replica_id = p.replica_id
LEFT JOIN instances o ON o.id = c.old_id AND o.agent_id = c.agent_id
WHERE p.replica_id = $1`, replicaID).
		Scan(&out.AgentID, &out.Demote, &out.By, &out.AcceptSilent, &out.Left, &out.Changed, &out.Cause, &out.OldID, &out.NewID,
			&out.RetireOld)
	if pg.IsNoRows(err) {
		return nil, replica.NotFound.New("no promotion of replica %s was asked for", replicaID)
	}
	return &out, pg.Translate(err)
}
