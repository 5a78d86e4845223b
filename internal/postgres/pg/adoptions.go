package pg

import (
	"github.com/jackc/pgx/v5"
)

// QueueAdoption opens the adoption of an instance that has a role on an agent's claim
// alone. An open adoption and a proven instance are left as they are.
func QueueAdoption(b *pgx.Batch, instanceID string) {
	b.Queue(OpenAdoptions+`
  AND i.id = $1`+ReopenAdoption, instanceID)
}

// OpenAdoptions opens the adoptions of unproven instances i. A condition may follow, and
// one of ReopenAdoption and AskAdoptionNow must.
const OpenAdoptions = `
INSERT INTO operations AS o (id, kind, client_id, agent_id, phase, summary, instance_id, tend_at)
SELECT 'adoption/' || i.id, 'adoption', i.client_id, i.agent_id, 'requested', 'adoption of ' || i.id, i.id,
    clock_timestamp()
FROM instances i
JOIN agents a ON a.id = i.agent_id
WHERE i.proof = 'unproven'
  AND i.role IN ('primary', 'replica')
  AND a.status <> 'deleted'`

// AskAdoptionNow opens an adoption again that has ended, and makes an open one due.
const AskAdoptionNow = `
ON CONFLICT (id) DO UPDATE
SET state = 'running',
    agent_id = excluded.agent_id,
    client_id = excluded.client_id,
    ended_at = NULL,
    error_code = NULL,
    error = NULL,
    updated_at = clock_timestamp(),
    tend_at = clock_timestamp()`

// ReopenAdoption opens an adoption again that has ended, and leaves an open one.
const ReopenAdoption = AskAdoptionNow + `
WHERE o.state <> 'running'`

// QueueAdoptionsOfClient makes the adoption of each unproven instance of a client due now.
func QueueAdoptionsOfClient(b *pgx.Batch, clientID string) {
	b.Queue(OpenAdoptions+`
  AND i.client_id = $1`+AskAdoptionNow, clientID)
}
