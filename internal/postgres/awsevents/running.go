package awsevents

import (
	"context"

	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/pg"
)

// RecordRunning records that the instance of a replica runs, by what AWS's event says, and
// writes that into the replica's timeline. wake says that a Guardian has something to do by
// that; its review is due then too. It sets a level: again changes nothing. A replica that
// is not waiting for its instance is left as it is.
func (s *Intake) RecordRunning(ctx context.Context, instanceID string) (wake bool, err error) {
	var replicaID string
	err = s.DB.Pool.QueryRow(ctx, `
SELECT id
FROM replicas
WHERE instance_id = $1
  AND state = 'launching'`, instanceID).Scan(&replicaID)
	if pg.IsNoRows(err) {
		return false, nil
	}
	if err != nil {
		return false, pg.Translate(err)
	}
	out, err := (&postgres.Roles{DB: s.DB}).AdvanceJudged(ctx, roles.ReplicaTransition{
		ReplicaID:  replicaID,
		To:         replica.Running,
		InstanceID: instanceID,
	}, (*roles.AgentRoles).Unsettled)
	if err != nil {
		return false, err
	}
	_, err = s.DB.Pool.Exec(ctx, `
INSERT INTO operation_steps (operation_id, run_id, seq, name, detail)
SELECT o.id, 'eventbridge', 1, 'runs', $2 || ' runs, by the door eventbridge'
FROM operations o
WHERE o.id = $1
ON CONFLICT (operation_id, run_id, seq) DO NOTHING`, roles.ReplicaOperation(replicaID), instanceID)
	return out.Wake, pg.Translate(err)
}
