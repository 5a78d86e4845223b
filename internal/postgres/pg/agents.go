package pg

import (
	"context"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/domain/agent"
)

// LockAgent makes writers of one agent's roles follow each other. The lock lets
// those pass that only refer to the agent.
const LockAgent = `SELECT client_id FROM agents WHERE id = $1 FOR NO KEY UPDATE`

// LockAlive locks an agent that is not deleted. Fails with agent.not_found.
func LockAlive(ctx context.Context, tx pgx.Tx, agentID string) error {
	var deleted bool
	err := tx.QueryRow(ctx, `SELECT status = 'deleted' FROM agents WHERE id = $1 FOR NO KEY UPDATE`, agentID).
		Scan(&deleted)
	if IsNoRows(err) || err == nil && deleted {
		return UnknownAgent(agentID)
	}
	return err
}

// UnknownAgent is agent.not_found for an id that has no row.
func UnknownAgent(agentID string) error { return agent.NotFound.New("there is no agent %s", agentID) }

// QueueReview asks for a Guardian to judge the agent's roles. The caller wakes one
// itself; the sweep does when that message is lost.
func QueueReview(b *pgx.Batch, agentID string) {
	b.Queue(`
UPDATE agents
SET review_at = least(coalesce(review_at, 'infinity'), clock_timestamp() + interval '5 seconds'),
    review_seq = review_seq + 1
WHERE id = $1`, agentID)
}
