package agents

import (
	"cmp"
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/postgres/pg"
)

// Takeover is the result of an instance's attempt to follow a lost primary.
type Takeover struct {
	Done bool
	// Closed are the replicas that waited for an instance and are not needed any
	// more: their workflows still wait.
	Closed []string
}

// unfilled is about the open replica r: it has no instance, and the control plane is
// launching none. It waits for an agent that may be gone, or its launch
// waits because former ones failed. A switch's replica belongs to the switch.
const unfilled = `(r.instance_id IS NULL
		AND r.kind <> 'switch'
		AND (r.launcher = 'agent' OR r.state = 'requested' AND coalesce(r.not_before > clock_timestamp(), false)))`

// selectTakeover finds the agent $1 when its primary is lost and nothing is about
// to replace it.
var selectTakeover = `
SELECT coalesce(p.id, ''), a.epoch
FROM agents a
LEFT JOIN instances p ON p.agent_id = a.id AND p.role = 'primary'
WHERE a.id = $1 AND a.status <> 'deleted'
	AND ` + pg.PrimaryLost + `
	AND NOT EXISTS (SELECT FROM replicas r
		WHERE r.agent_id = a.id AND r.state IN ('requested', 'launching', 'running', 'ready') AND NOT ` + unfilled + `)
	AND NOT EXISTS (SELECT FROM notices n
		WHERE n.agent_id = a.id AND n.result = '' AND n.kind = 'termination-notice' AND n.deadline > clock_timestamp())
	AND NOT EXISTS (SELECT FROM commands c WHERE c.agent_id = a.id AND c.status = 'pending')
	AND NOT EXISTS (SELECT
		FROM switches s
		WHERE s.agent_id = a.id AND s.phase IN ('launching', 'waiting_until_ready', 'cutting_over'))`

// takeOver makes an outside instance the agent's primary when the one it has is
// lost (see pg.PrimaryLost). While anything is in flight that could bring a successor (a
// replica with an instance or with a launch of ours, a switch, a notice) it does
// nothing. A replica that waits for an instance is closed with it.
// An instance that was replaced before never comes back this way, because that one
// has a row. The caller holds the agent's lock; the epoch moves as with every
// change of primary, and the old instance is left as it is: it may be alive.
func takeOver(ctx context.Context, tx pgx.Tx, agentID string, r agent.Registration) (Takeover, error) {
	var out Takeover
	var old string
	var epoch int64
	err := tx.QueryRow(ctx, selectTakeover, agentID).Scan(&old, &epoch)
	if pg.IsNoRows(err) {
		return out, nil
	}
	if err != nil {
		return out, err
	}
	b := &pgx.Batch{}
	b.Queue(`UPDATE instances
		SET role = 'retired', terminate_by = 'nobody', retiring_since = clock_timestamp()
		WHERE id = $1 AND role = 'primary'`, old)
	b.Queue(`UPDATE notices
		SET result = 'not_primary', decided_at = clock_timestamp(),
			delivered_at = coalesce(delivered_at, clock_timestamp())
		WHERE agent_id = $1 AND instance_id = $2 AND result IN ('', 'lost')`, agentID, old)
	b.Queue(`UPDATE replicas r
		SET state = 'retired', ended_at = clock_timestamp(), error = $2 || ' took the place of the lost primary'
		WHERE r.agent_id = $1 AND r.state IN ('requested', 'launching', 'running', 'ready') AND `+unfilled+`
		RETURNING r.id`, agentID, r.InstanceID).Query(pg.CollectIDs(&out.Closed))
	b.Queue(`UPDATE agents
		SET epoch = epoch + 1, failures = 0, last_switch_at = clock_timestamp()
		WHERE id = $1 AND epoch = $2`, agentID, epoch)
	queueFirstInstance(b, agentID, r)
	pg.QueueNewsOfAll(b, agentID)
	pg.QueueReview(b, agentID) // the new primary may lack the standby that it is to have
	b.Queue(`DELETE FROM outside_instances WHERE agent_id = $1 AND instance_id = $2`, agentID, r.InstanceID)
	b.Queue(`INSERT INTO role_changes (client_id, agent_id, epoch, old_id, new_id, replica_id, cause)
		VALUES ($1, $2, $3, $4, $5, $6, 'takeover')`,
		r.ClientID, agentID, epoch+1, old, r.InstanceID, fmt.Sprintf("takeover/%s/%d", agentID, epoch+1))
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return out, err
	}
	out.Done = true
	message := r.LogicalID + " lives on " + r.InstanceID + " now"
	if old != "" {
		message += "; " + old + " is lost"
	}
	return out, pg.RecordEvent(ctx, tx, pg.EventRecord{
		ClientID: r.ClientID, AgentID: agentID, Type: "primary_taken_over", Severity: "warning", Actor: "agent",
		Message: message, Notify: true,
		Metadata: map[string]any{
			"old_primary":     old,
			"new_primary":     r.InstanceID,
			"epoch":           epoch + 1,
			"closed_replicas": out.Closed,
		},
	})
}

// TakeOver makes an outside instance the primary of an agent that has lost its own for good,
// if nothing else is about to do so (see takeOver). Facts that the instance does not report
// now are taken from its registration; while its type or zone is unknown it does not follow.
// A second call finds the instance in its role and changes nothing. Fails with
// agent.not_found, agent.instance_of_another_tenant and agent.instance_in_use.
func (s *Agents) TakeOver(ctx context.Context, agentID string, r agent.Registration) (Takeover, error) {
	var out Takeover
	err := s.DB.InTx(ctx, func(tx pgx.Tx) error {
		if err := pg.LockAlive(ctx, tx, agentID); err != nil {
			return err
		}
		if err := remember(ctx, tx, agentID, &r); err != nil || r.InstanceType == "" || r.AZ == "" {
			return err
		}
		stands := &Registered{AgentConfig: AgentConfig{AgentID: agentID}}
		if err := s.findRelation(ctx, tx, r, stands); err != nil || stands.Relation != agent.RelationOutside {
			return err
		}
		var err error
		out, err = takeOver(ctx, tx, agentID, r)
		return err
	})
	return out, err
}

// remember fills in what a report leaves out: from what the instance said when it
// registered, and the region from the primary at last.
func remember(ctx context.Context, tx pgx.Tx, agentID string, r *agent.Registration) error {
	var was agent.Registration
	var region string
	err := tx.QueryRow(ctx, `
		SELECT a.logical_agent_id, coalesce(p.region, ''),
			coalesce(o.instance_type, ''), coalesce(o.region, ''), coalesce(o.az, ''), coalesce(o.mode, ''),
			coalesce(o.ami_id, '')
		FROM agents a
		LEFT JOIN instances p ON p.agent_id = a.id AND p.role = 'primary'
		LEFT JOIN outside_instances o ON o.agent_id = a.id AND o.instance_id = $2
		WHERE a.id = $1`, agentID, r.InstanceID).
		Scan(&r.LogicalID, &region, &was.InstanceType, &was.Region, &was.AZ, &was.Mode, &was.AMI)
	if err != nil {
		return err
	}
	r.InstanceType = cmp.Or(agent.KnownFact(r.InstanceType), agent.KnownFact(was.InstanceType))
	r.AZ = cmp.Or(agent.KnownFact(r.AZ), agent.KnownFact(was.AZ))
	r.Region = cmp.Or(agent.KnownFact(r.Region), agent.KnownFact(was.Region), agent.RegionOf(r.AZ), region)
	r.AMI = cmp.Or(r.AMI, was.AMI)
	if r.Mode == "" || r.Mode == agent.ModeUnknown {
		r.Mode = was.Mode
	}
	return nil
}

// queueOutside stores the report of an instance without a role. Rows of the agent that are
// older than a day are deleted, so that a fleet that replaces its instances every hour does
// not accumulate rows.
func queueOutside(b *pgx.Batch, agentID string, r agent.Registration) {
	b.Queue(`DELETE FROM outside_instances WHERE agent_id = $1 AND seen_at < clock_timestamp() - interval '1 day'`,
		agentID)
	b.Queue(`INSERT INTO outside_instances (agent_id, instance_id, instance_type, region, az, mode, ami_id)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT ON CONSTRAINT outside_instances_key DO UPDATE
		SET instance_type = excluded.instance_type, region = excluded.region, az = excluded.az,
			mode = excluded.mode, ami_id = excluded.ami_id, seen_at = excluded.seen_at`,
		agentID, r.InstanceID, r.InstanceType, r.Region, r.AZ, cmp.Or(r.Mode, agent.ModeUnknown), agent.KnownFact(r.AMI))
}
