package sweeps

import (
	"context"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/postgres/pg"
)

// NotLeftOver means that the instance is not an old primary that AWS was to end.
var NotLeftOver = fault.Define("instance.not_left_over", fault.Conflict)

// LeftOvers decides on old primaries that AWS announced the end of and has not taken.
type LeftOvers struct{ DB *pg.DB }

// LeftOver is an old primary on which a person has decided.
type LeftOver struct {
	AgentID   string
	Operation string // the Termination that watches it
	EndedBy   string // who ends it; not us when it is kept
}

// Decide records that an old primary is to be ended by us, or kept for good, with an audit
// entry; its Termination does the rest. The same decision again changes nothing. An empty
// clientID is any tenant. Fails with
// agent.instance_of_another_tenant and instance.not_left_over.
func (s *LeftOvers) Decide(ctx context.Context, clientID, instanceID string, end bool, by string) (*LeftOver, error) {
	out := &LeftOver{EndedBy: "nobody"}
	role, message := "retired", "Instance "+instanceID+" is kept although AWS announced its end"
	if end {
		role, out.EndedBy = "retiring", "us"
		message = "Instance " + instanceID + " is ended: AWS announced its end and has not taken it"
	}
	err := s.DB.InTx(ctx, func(tx pgx.Tx) error {
		var client, before, now string
		err := tx.QueryRow(ctx, `
SELECT i.client_id, i.agent_id, i.role, i.terminate_by
FROM instances i
WHERE i.id = $1
  AND ($2 = '' OR i.client_id = $2)
  AND i.agent_id IS NOT NULL
FOR NO KEY UPDATE`, instanceID, clientID).Scan(&client, &out.AgentID, &now, &before)
		switch {
		case pg.IsNoRows(err):
			return agent.InstanceOfOtherTenant.New("Instance not found")
		case err != nil:
			return err
		}
		out.Operation = roles.TerminationOperation(out.AgentID, instanceID)
		if now == role && before == out.EndedBy {
			return nil
		}
		if now != "retiring" || before != "aws" {
			return NotLeftOver.New("Instance %s is not one that AWS was to end and has not taken.", instanceID)
		}
		b := &pgx.Batch{}
		b.Queue(`UPDATE instances SET role = $2, terminate_by = $3 WHERE id = $1`, instanceID, role, out.EndedBy)
		pg.QueueNewsOfAll(b, out.AgentID)
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		return pg.RecordEvent(ctx, tx, pg.EventRecord{
			ClientID: client,
			AgentID:  out.AgentID,
			Type:     "left_over_decided",
			Severity: "info",
			Actor:    by,
			Message:  message,
			Metadata: map[string]any{
				"instance_id": instanceID,
				"before":      map[string]string{"ended_by": before},
				"after":       map[string]string{"ended_by": out.EndedBy},
			},
		})
	})
	return out, err
}
