package postgres

import (
	"cmp"
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/domain/credentials"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/internal/flight"
	"spotkeeper/internal/postgres/decisions"
	"spotkeeper/internal/postgres/pg"
)

var _ = pg.RegisterConstraint("commands_one_open_switch_per_agent", switching.Busy,
	"another switch of this agent is in flight")

// Commands stores the orders of agents. A command is a row before any workflow
// is signalled, and is delivered to an agent that performs it itself. Storing it also opens
// the operation of its switch, so the sweep starts the switch when the caller died first.
type Commands struct {
	DB *pg.DB

	polls flight.Batch[poll, polled]
}

const commandColumns = `id, client_id, agent_id, instance_id, launcher, target_mode, target_pool_id, priority,
    terminate_wait_seconds, status, created_at`

func scanCommand(row pgx.Row) (*switching.SwitchCommand, error) {
	var c switching.SwitchCommand
	err := row.Scan(&c.ID, &c.ClientID, &c.AgentID, &c.InstanceID, &c.Launcher, &c.TargetMode, &c.TargetPoolID,
		&c.Priority, &c.TerminateWait, &c.Status, &c.CreatedAt)
	return &c, err
}

// Order makes a switch command durable and opens its operation. An agent has at most one that is
// pending; one with the id of an earlier order is that order, as it stands. Fails
// with agent.not_found for an agent that is deleted or without a primary, with
// switch.busy, which names the operation, with switch.pool_blocked, and if the move is voluntary as
// engine.MoveContext.Refusal and approval.Consent.Judge do. One that a person has to approve
// becomes a question, and fails with switch.awaits_approval until that is answered.
func (s *Commands) Order(ctx context.Context, in switching.SwitchRequest) (*switching.SwitchCommand, error) {
	var out *switching.SwitchCommand
	var waits error
	err := s.DB.InTx(ctx, func(tx pgx.Tx) error {
		if in.Voluntary { // before the agent's row: every transaction takes the two in this order
			if _, err := tx.Exec(ctx, `SELECT FROM fleet_limits FOR NO KEY UPDATE`); err != nil {
				return err
			}
		}
		if err := pg.LockAlive(ctx, tx, in.AgentID); err != nil {
			return err
		}
		if known, err := findOrderByID(ctx, tx, in); known != nil || err != nil {
			out = known
			return err
		}
		if err := noneOpen(ctx, tx, in.AgentID); err != nil {
			return err
		}
		if err := checkReachable(ctx, tx, in); err != nil {
			return err
		}
		if err := decisions.CheckPoolOpen(ctx, tx, in); err != nil {
			return err
		}
		var permit *decisions.Permit
		if in.Voluntary {
			var err error
			if permit, err = decisions.CheckMove(ctx, tx, in); err != nil {
				return err
			}
			if permit.NeedsAnswer() { // the question is stored, and the order is not
				waits, err = permit.Ask(ctx, tx)
				return err
			}
		}
		var pool *string
		if in.Target.PoolID != "" {
			pool = &in.Target.PoolID
		}
		var err error
		out, err = scanCommand(tx.QueryRow(ctx, `
			INSERT INTO commands (id, client_id, agent_id, instance_id, launcher, target_mode, target_pool_id,
				instance_type, priority, terminate_wait_seconds, created_by, reason)
			SELECT $2, a.client_id, a.id, i.id, a.launcher, $3, $4, nullif($5, ''), $6,
				coalesce($7::int, CASE WHEN a.auto_terminate_enabled THEN greatest(a.terminate_wait_seconds, 1)
					ELSE 0 END), $8, $9
			FROM agents a JOIN instances i ON i.agent_id = a.id AND i.role = 'primary' WHERE a.id = $1
			RETURNING `+commandColumns,
			in.AgentID, cmp.Or(in.ID, uuid.NewString()), in.Target.Mode, pool, in.Target.InstanceType, in.Priority,
			in.TerminateWait, in.By, in.Reason))
		if pg.IsNoRows(err) {
			return pg.UnknownAgent(in.AgentID)
		}
		if err != nil {
			return err
		}
		var before []byte
		var name string
		err = tx.QueryRow(ctx, `
SELECT jsonb_build_object('instance_id', i.id, 'mode', i.mode, 'pool_id', i.pool_id, 'instance_type', i.instance_type),
    a.logical_agent_id
FROM instances i
JOIN agents a ON a.id = i.agent_id
WHERE i.id = $1`, out.InstanceID).Scan(&before, &name)
		if err != nil {
			return err
		}
		b := &pgx.Batch{}
		queueOperation(b, openedSwitch(out, name, in.Reason))
		permit.QueueUse(b, out.ID)
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		return pg.RecordEvent(ctx, tx, pg.EventRecord{
			ClientID: out.ClientID,
			AgentID:  out.AgentID,
			Type:     "manual_switch_requested",
			Severity: "info",
			Actor:    in.By,
			Message:  in.Notify,
			Notify:   in.Notify != "",
			Metadata: map[string]any{
				"command_id": out.ID,
				"reason":     in.Reason,
				"priority":   out.Priority,
				"before":     pg.JSONOrNull(before),
				"after": map[string]any{
					"mode":          out.TargetMode,
					"pool_id":       out.TargetPoolID,
					"instance_type": in.Target.InstanceType,
				},
			},
		})
	})
	if err == nil {
		err = waits
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// checkReachable refuses an order that cannot work from where the agent runs. Fails with
// switch.invalid_target. An agent without a primary is refused by the order itself.
func checkReachable(ctx context.Context, tx pgx.Tx, in switching.SwitchRequest) error {
	var here switching.CurrentPlace
	err := tx.QueryRow(ctx, `
SELECT i.instance_type, i.pool_id, i.region, i.mode,
	coalesce(l.template->>'architecture', own.architectures[1], ''),
	coalesce((SELECT k.region FROM pools k WHERE k.id = nullif($2, '')), ''),
	coalesce(t.architectures, '{}'),
	t.name IS NULL
		AND coalesce(nullif($3, ''), (SELECT k.instance_type FROM pools k WHERE k.id = nullif($2, ''))) IS NOT NULL
		AND EXISTS (SELECT FROM instance_types x WHERE x.region = i.region),
	i.agent_id IN (SELECT x.id FROM agents x WHERE x.launcher = 'control-plane')
		AND coalesce((l.template->>'user_data_hidden')::boolean, false)
		AND l.template->'launch_template' IS NULL
FROM instances i
LEFT JOIN launch_templates l ON l.agent_id = i.agent_id
LEFT JOIN instance_types own ON own.region = i.region AND own.name = i.instance_type
LEFT JOIN instance_types t ON t.region = i.region
	AND t.name = coalesce(nullif($3, ''), (SELECT k.instance_type FROM pools k WHERE k.id = nullif($2, '')))
WHERE i.agent_id = $1 AND i.role = 'primary'`, in.AgentID, in.Target.PoolID, in.Target.InstanceType).
		Scan(&here.InstanceType, &here.PoolID, &here.Region, &here.Mode, &here.Architecture, &here.TargetRegion,
			&here.TargetRuns, &here.Unoffered, &here.Hidden)
	if pg.IsNoRows(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return in.Target.JudgeFrom(here)
}

// openedSwitch is the operation of a command.
func openedSwitch(c *switching.SwitchCommand, name, cause string) opened {
	return opened{
		kind:       "switch",
		id:         roles.SwitchOperation(c.ID),
		agentID:    c.AgentID,
		summary:    "switch of " + name,
		cause:      cause,
		instanceID: c.InstanceID,
	}
}

// findOrderByID finds an earlier order with the same id.
func findOrderByID(ctx context.Context, tx pgx.Tx, in switching.SwitchRequest) (*switching.SwitchCommand, error) {
	if in.ID == "" {
		return nil, nil
	}
	c, err := scanCommand(tx.QueryRow(ctx, `SELECT `+commandColumns+` FROM commands WHERE id = $1 AND agent_id = $2`,
		in.ID, in.AgentID))
	if pg.IsNoRows(err) {
		return nil, nil
	}
	return c, err
}

// noneOpen refuses a second order.
func noneOpen(ctx context.Context, tx pgx.Tx, agentID string) error {
	var open string
	err := tx.QueryRow(ctx,
		`SELECT id FROM commands WHERE agent_id = $1 AND status = 'pending' AND command_type = 'switch'`, agentID).
		Scan(&open)
	if pg.IsNoRows(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return switching.Busy.New("another switch of this agent is in flight").
		With("command_id", open).With("operation_id", roles.SwitchOperation(open))
}

// Cancel takes an order back that no workflow has taken up, and closes its operation.
// One that has begun, or has ended, is left as it is. A workflow that takes one up
// locks the agent, and finds it cancelled.
func (s *Commands) Cancel(ctx context.Context, id, why string) error {
	b := &pgx.Batch{}
	b.Queue(`SELECT FROM agents WHERE id = (SELECT agent_id FROM commands WHERE id = $1) FOR NO KEY UPDATE`, id)
	b.Queue(`
WITH cancelled AS (
    UPDATE commands c
    SET status = 'cancelled',
        message = $2
    WHERE id = $1
      AND status = 'pending'
      AND NOT EXISTS (SELECT FROM switches s WHERE s.id = c.id)
      AND NOT EXISTS (SELECT FROM replicas r WHERE r.agent_id = c.agent_id AND r.made_for = c.id)
    RETURNING id)
UPDATE operations o
SET state = 'cancelled',
    error = $2,
    updated_at = clock_timestamp(),
    ended_at = clock_timestamp(),
    tend_at = NULL
FROM cancelled
WHERE o.id = 'switch/' || cancelled.id
  AND o.state = 'running'`, id, why)
	return pg.Translate(s.DB.Pool.SendBatch(ctx, b).Close())
}

// Complete records that the agent has performed a command, or failed to. Fails
// with switch.command_not_found, with credentials.foreign_instance, and with
// switch.command_already_done when the command ended otherwise before; the same report again is success. News says that
// the switch has not seen it: its operation is open.
func (s *Commands) Complete(ctx context.Context, clientID, agentID, commandID string, outcome switching.CommandOutcome) (
	out *switching.SwitchCommand, news bool, err error,
) {
	err = s.DB.InTx(ctx, func(tx pgx.Tx) error {
		var err error
		out, err = scanCommand(tx.QueryRow(ctx,
			`SELECT `+commandColumns+` FROM commands WHERE id = $1 AND agent_id = $2 AND client_id = $3 FOR UPDATE`,
			commandID, agentID, clientID))
		if pg.IsNoRows(err) {
			return switching.NotFound.New("Command not found")
		}
		if err != nil {
			return err
		}
		if outcome.From != "" && outcome.From != out.InstanceID {
			return credentials.ForeignInstance.New("This command is for %s to perform: %s may not report it.", out.InstanceID,
				outcome.From)
		}
		status, err := outcomeStatus(ctx, tx, commandID, outcome)
		switch {
		case err != nil:
			return err
		case out.Status == status || outcome.Success == nil && out.Status != "pending":
			return nil
		case out.Status != "pending":
			return switching.AlreadyDone.New("The command is %s already.", out.Status).With("status", out.Status)
		}
		out.Status, news = status, true
		b := &pgx.Batch{}
		b.Queue(`
UPDATE commands
SET status = $2,
    success = $2 = 'completed',
    message = nullif($3, ''),
    executed_at = clock_timestamp()
WHERE id = $1`, commandID, status, outcome.Message)
		queueOperation(b, openedSwitch(out, out.AgentID, ""))
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return nil, false, err
	}
	return out, news, nil
}

// outcomeStatus is the status of a command that ended.
func outcomeStatus(ctx context.Context, tx pgx.Tx, commandID string, o switching.CommandOutcome) (string, error) {
	went := false
	if o.Success != nil {
		went = *o.Success
	} else if err := tx.QueryRow(ctx,
		`SELECT EXISTS (SELECT FROM switches WHERE id = $1 AND (reported_at IS NOT NULL OR new_id <> ''))`, commandID).
		Scan(&went); err != nil {
		return "", err
	}
	if went {
		return "completed", nil
	}
	return "failed", nil
}
