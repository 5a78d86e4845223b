package agents

import (
	"context"

	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/postgres/pg"
)

// Syncs keep how far the state of replicas is copied.
type Syncs struct{ DB *pg.DB }

// SyncReport is an agent's report of the copy of a replica's state; null leaves a value as it is.
type SyncReport struct {
	ReplicaID string
	Status    *string
	LatencyMS *int
	Progress  *float64 // 0 to 100
}

// RecordSync keeps a report. It sets levels, so a second run changes nothing; the state of the
// replica is not its business. Fails with replica.not_found.
func (s *Syncs) RecordSync(ctx context.Context, in SyncReport) error {
	tag, err := s.DB.Pool.Exec(ctx,
		`UPDATE replicas SET sync_status = coalesce($2, sync_status), sync_latency_ms = coalesce($3, sync_latency_ms),
			sync_progress = coalesce($4, sync_progress), last_sync_at = clock_timestamp() WHERE id = $1`,
		in.ReplicaID, in.Status, in.LatencyMS, in.Progress)
	if err == nil && tag.RowsAffected() == 0 {
		return replica.NotFound.New("Replica not found")
	}
	return pg.Translate(err)
}
