package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/internal/postgres/pg"
)

// SwitchReports stores agents' reports of the switches that they performed. An agent sends
// a report once, so it is stored before any workflow is signalled. Storing it also opens
// the operation by which a workflow takes it in.
type SwitchReports struct{ DB *pg.DB }

// Record keeps a report: the switch's history, the prices of the new instance, what
// people are notified of and the operation that takes it in are one transaction, once
// per report. Roles are not touched: that is for the workflow of the operation.
// Fails with agent.not_found, switch.command_not_found and
// agent.instance_of_another_tenant.
func (s *SwitchReports) Record(ctx context.Context, r switching.Report) (*switching.Reported, error) {
	timing, err := json.Marshal(r.Timing)
	if err != nil {
		return nil, err
	}
	snapshot, err := json.Marshal(r.Snapshot)
	if err != nil {
		return nil, err
	}
	out := &switching.Reported{Launcher: agent.ByAgent}
	err = s.DB.InTx(ctx, func(tx pgx.Tx) error {
		if err := pg.LockAlive(ctx, tx, r.AgentID); err != nil {
			return err
		}
		if err := ownInstances(ctx, tx, r); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT id FROM switches WHERE report_key = $1`, r.Key()).
			Scan(&out.SwitchID); err == nil || !pg.IsNoRows(err) {
			if out.SwitchID != r.NewID {
				out.CommandID = out.SwitchID
			}
			return err
		}
		if err := commandOf(ctx, tx, r, out); err != nil {
			return err
		}
		out.SwitchID = cmp.Or(out.CommandID, r.NewID)
		if err := tx.QueryRow(ctx, insertReport, out.SwitchID, r.ClientID, r.AgentID, cmp.Or(r.Trigger, "manual"),
			r.OldID, r.NewID, r.OldMode, r.NewMode, r.OldPool, r.NewPool,
			r.OnDemand, r.OldSpot, r.NewSpot, r.Savings(), timing, snapshot, r.Key(), pg.TimeOrNull(r.InitiatedAt),
			pg.TimeOrNull(r.LaunchedAt), pg.TimeOrNull(r.ReadyAt), out.CommandID != "", pg.TimeOrNull(r.SwitchedAt)).
			Scan(&out.First); pg.IsNoRows(err) {
			return nil // the same report again, or another of a switch that was reported
		} else if err != nil {
			return err
		}
		return s.writeConsequences(ctx, tx, r, out)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// insertReport joins the report with the row that its workflow may have made. A
// switch with an order is carried on by its workflow; of one without an order the
// report is all there is.
const insertReport = `
	INSERT INTO switches AS s (id, client_id, agent_id, trigger, old_id, new_id, from_mode, to_mode, from_pool, to_pool,
		on_demand, old_spot, new_spot,
		savings_impact, timing, snapshot, report_key, initiated_at, launched_at, ready_at, reported_at, phase,
		cut_over_at, ended_at)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, nullif($9, ''), nullif($10, ''), $11, $12, $13, $14, $15, $16, $17,
		coalesce($18::timestamptz, now()), $19, $20, clock_timestamp(), CASE WHEN $21 THEN 'launching' ELSE 'done' END,
		CASE WHEN NOT $21 THEN coalesce($22::timestamptz, now()) END, CASE WHEN NOT $21 THEN now() END)
	ON CONFLICT (id)
	DO UPDATE SET old_id = coalesce(nullif(s.old_id, ''), excluded.old_id),
		new_id = coalesce(nullif(s.new_id, ''), excluded.new_id),
		from_mode = coalesce(nullif(s.from_mode, ''), excluded.from_mode),
		to_mode = coalesce(nullif(s.to_mode, ''), excluded.to_mode),
		from_pool = coalesce(s.from_pool, excluded.from_pool), to_pool = coalesce(s.to_pool, excluded.to_pool),
		on_demand = coalesce(excluded.on_demand, s.on_demand), old_spot = coalesce(excluded.old_spot, s.old_spot),
		new_spot = coalesce(excluded.new_spot, s.new_spot),
		savings_impact = coalesce(excluded.savings_impact, s.savings_impact), timing = excluded.timing,
		snapshot = excluded.snapshot,
		report_key = excluded.report_key, launched_at = coalesce(excluded.launched_at, s.launched_at),
		ready_at = coalesce(excluded.ready_at, s.ready_at), reported_at = excluded.reported_at
		WHERE s.report_key IS NULL AND s.agent_id = excluded.agent_id
	RETURNING true`

// ownInstances refuses a report about instances of another tenant or agent.
func ownInstances(ctx context.Context, tx pgx.Tx, r switching.Report) error {
	var theirs string
	err := tx.QueryRow(
		ctx,
		`
			SELECT id
			FROM instances
			WHERE id IN ($1, $2) AND (client_id <> $3 OR agent_id IS DISTINCT FROM $4 AND role <> 'retired')
			LIMIT 1`,
		r.OldID,
		r.NewID,
		r.ClientID,
		r.AgentID,
	).Scan(&theirs)
	if err == nil {
		return agent.ForeignInstance(theirs)
	}
	if pg.IsNoRows(err) {
		return nil
	}
	return err
}

// commandOf finds the command that the agent performed: the one it names, the one
// whose switch has this instance already, or the one that was delivered to it.
func commandOf(ctx context.Context, tx pgx.Tx, r switching.Report, out *switching.Reported) error {
	err := tx.QueryRow(ctx, `
SELECT id, launcher
FROM commands
WHERE agent_id = $1
  AND CASE
    WHEN $2 <> '' THEN id = $2
    ELSE id IN (SELECT id FROM switches WHERE agent_id = $1 AND new_id = $4)
        OR status = 'pending'
        AND launcher = 'agent'
        AND command_type = 'switch'
        AND deliveries > 0
        AND instance_id = $3 END
ORDER BY (status = 'pending') DESC, created_at DESC
LIMIT 1`, r.AgentID, r.CommandID, r.OldID, r.NewID).Scan(&out.CommandID, &out.Launcher)
	if pg.IsNoRows(err) && r.CommandID != "" {
		return switching.NotFound.New("Command not found")
	}
	if pg.IsNoRows(err) {
		return nil
	}
	return err
}

// writeConsequences writes what a report means beside the switch itself.
func (s *SwitchReports) writeConsequences(ctx context.Context, tx pgx.Tx, r switching.Report, out *switching.Reported) error {
	saved, message := r.Savings(), "Instance switched: "+r.NewID
	if saved != nil {
		message += fmt.Sprintf(" - Saved $%.4f/hr", *saved)
	}
	b := &pgx.Batch{}
	b.Queue(
		`
			UPDATE instances
			SET spot_price = coalesce($3, spot_price), ondemand_price = coalesce($4, ondemand_price)
			WHERE id = $2 AND agent_id = $1`,
		r.AgentID,
		r.NewID,
		r.NewSpot,
		r.OnDemand,
	)
	b.Queue(`UPDATE instances
		SET terminated_at = coalesce(terminated_at, $3::timestamptz),
			role = CASE role WHEN 'retiring' THEN 'retired' ELSE role END
		WHERE id = $2 AND agent_id = $1 AND role <> 'primary' AND $3::timestamptz IS NOT NULL`, r.AgentID, r.OldID,
		pg.TimeOrNull(r.EndedOldAt))
	var name string
	b.Queue(`SELECT logical_agent_id FROM agents WHERE id = $1`, r.AgentID).
		QueryRow(func(row pgx.Row) error { return row.Scan(&name) })
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	b = &pgx.Batch{}
	queueOperation(b, opened{
		kind:       "switch",
		id:         roles.SwitchOperation(out.SwitchID),
		agentID:    r.AgentID,
		summary:    "switch of " + name,
		cause:      "reported by the agent",
		instanceID: r.OldID,
	})
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	return pg.RecordEvent(ctx, tx, pg.EventRecord{
		ClientID: r.ClientID,
		AgentID:  r.AgentID,
		Type:     "switch_completed",
		Severity: "info",
		Actor:    "agent",
		Message:  message,
		Notify:   true,
		Key:      "switch-report/" + r.Key(),
		Metadata: map[string]any{
			"old_instance_id": r.OldID,
			"new_instance_id": r.NewID,
			"command_id":      out.CommandID,
			"savings_impact":  saved,
			"trigger":         r.Trigger,
		},
	})
}
