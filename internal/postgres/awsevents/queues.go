package awsevents

import (
	"context"

	"spotkeeper/internal/intake"
	"spotkeeper/internal/postgres/pg"
)

// Queues keep what this worker sees of the queues of AWS's events, for the pages of operators.
type Queues struct {
	DB     *pg.DB
	Worker string // process and host
}

// noteQueue writes a row anew, and deletes those of workers that are gone.
const noteQueue = `
WITH gone AS (
    DELETE FROM event_queues
    WHERE updated_at < clock_timestamp() - interval '1 day'
      AND (queue, worker) <> ($1, $2))
INSERT INTO event_queues AS q (queue, worker, received_at, waited_ms, error)
VALUES ($1, $2, $3, $4, left($5, 500))
ON CONFLICT ON CONSTRAINT event_queues_once DO UPDATE
SET received_at = coalesce(excluded.received_at, q.received_at),
    waited_ms = excluded.waited_ms,
    error = excluded.error,
    updated_at = clock_timestamp()`

// Note writes how a queue is. The same state again changes only when it was written.
func (s *Queues) Note(ctx context.Context, queue string, state intake.QueueState) error {
	_, err := s.DB.Pool.Exec(ctx, noteQueue, queue, s.Worker, pg.TimeOrNull(state.Received), state.Waited.Milliseconds(),
		state.Error)
	return pg.Translate(err)
}
