package pg

import (
	"github.com/jackc/pgx/v5"
)

// TendAgain is when the sweep looks next for the workflow of the operation o, which
// has just been started or has just written: a fresh one after half a minute, one
// that runs long every quarter of an hour.
const TendAgain = `clock_timestamp() + least(greatest(clock_timestamp() - o.started_at, interval '30 seconds'), interval '15 minutes')`

// QueueNews makes the operation of a replica due for the sweep in 5 s. A statement that
// changes the state of a replica outside its workflow queues it. The caller then sends
// the workflow a news signal; when that signal is lost, the sweep sends it.
func QueueNews(b *pgx.Batch, replicaID string) {
	b.Queue(`
UPDATE operations
SET tend_at = least(tend_at, clock_timestamp() + interval '5 seconds')
WHERE id = 'replica/' || $1::text
  AND state = 'running'`, replicaID)
}

// QueueNewsOfAll does the same for every running operation of an agent. Removals and
// takeovers queue it, because they change several of them at once.
func QueueNewsOfAll(b *pgx.Batch, agentID string) {
	b.Queue(`
UPDATE operations
SET tend_at = least(tend_at, clock_timestamp() + interval '5 seconds')
WHERE agent_id = $1
  AND state = 'running'`, agentID)
}
