package postgres

import (
	"context"

	"spotkeeper/internal/engine"
)

// KeepWithoutTurn keeps a decision as Keep does after it has lost every turn.
func (s *Decisions) KeepWithoutTurn(ctx context.Context, r engine.Record) ([]int, error) {
	return s.storeDecisions(ctx, []map[string]any{decisionLine(0, r)}, true)
}
