package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"spotkeeper/activities"
	"spotkeeper/internal/switching"
)

// Switches stores the history of voluntary moves and the commands behind them.
type Switches struct{ DB *DB }

// phaseRank ranks the phases; a switch is abandoned only before it cut over.
const phaseRank = `array_position(ARRAY['launching', 'waiting_until_ready', 'cutting_over', 'abandoned', 'retiring_old', 'done'], `

// RecordPhase records how far a switch is. The first call makes the row, from the
// command and the instance it leaves, with the prices of that moment. Phases only
// go forward, so one that is told late changes nothing. Fails with
// agent.not_found.
func (s *Switches) RecordPhase(ctx context.Context, in activities.SwitchPhase) error {
	b := &pgx.Batch{}
	b.Queue(`INSERT INTO switches (id, client_id, agent_id, operation_id, trigger, old_id, from_mode, from_pool, to_mode, to_pool, on_demand, old_spot, new_spot)
		SELECT $1, a.client_id, a.id, $3, coalesce(nullif(left($4, 20), ''), 'manual'), coalesce(o.id, $5), coalesce(o.mode, ''), o.pool_id,
			coalesce(c.target_mode, ''), c.target_pool_id, od.price, op.price, np.price
		FROM agents a
			LEFT JOIN commands c ON c.id = $1 AND c.agent_id = a.id
			LEFT JOIN instances o ON o.agent_id = a.id AND (o.id = $5 OR $5 = '' AND o.role = 'primary')
			LEFT JOIN on_demand_prices od ON od.region = o.region AND od.instance_type = o.instance_type
			LEFT JOIN pool_prices op ON op.pool_id = o.pool_id
			LEFT JOIN pool_prices np ON np.pool_id = c.target_pool_id
		WHERE a.id = $2 ON CONFLICT (id) DO NOTHING`, in.CommandID, in.AgentID, in.OperationID, in.Trigger, in.OldID)
	found := false
	b.Queue(`UPDATE switches SET phase = CASE WHEN `+phaseRank+`$3::text) >= `+phaseRank+`phase) THEN $3 ELSE phase END,
			operation_id = coalesce(nullif($4, ''), operation_id), new_id = coalesce(nullif($5, ''), new_id), error_code = coalesce(nullif($6, ''), error_code),
			launched_at = CASE WHEN $3 = 'waiting_until_ready' THEN coalesce(launched_at, clock_timestamp()) ELSE launched_at END,
			ready_at = CASE WHEN $3 = 'cutting_over' THEN coalesce(ready_at, clock_timestamp()) ELSE ready_at END,
			cut_over_at = CASE WHEN $3 IN ('retiring_old', 'done') THEN coalesce(cut_over_at, clock_timestamp()) ELSE cut_over_at END,
			ended_at = CASE WHEN $3 IN ('done', 'abandoned') AND `+phaseRank+`$3::text) >= `+phaseRank+`phase) THEN coalesce(ended_at, clock_timestamp()) ELSE ended_at END
		WHERE id = $1 AND agent_id = $2 RETURNING true`, in.CommandID, in.AgentID, in.Phase, in.OperationID, in.NewID, in.Code).QueryRow(func(row pgx.Row) error {
		err := row.Scan(&found)
		if noRows(err) {
			return unknownAgent(in.AgentID)
		}
		return err
	})
	if in.Phase == switching.Retiring || in.Phase == switching.Done {
		b.Queue(priceOfTheMove, in.CommandID)
	}
	return translate(s.DB.Pool.SendBatch(ctx, b).Close())
}

// priceOfTheMove fills in where a switch ended and what it is worth per hour. A
// missing price leaves the worth unknown.
const priceOfTheMove = `UPDATE switches s SET to_pool = n.pool_id, to_mode = CASE n.mode WHEN 'unknown' THEN s.to_mode ELSE n.mode END,
		new_spot = coalesce(np.price, s.new_spot), savings_impact = coalesce(s.savings_impact,
			CASE s.from_mode WHEN 'ondemand' THEN s.on_demand ELSE s.old_spot END - CASE n.mode WHEN 'ondemand' THEN od.price ELSE coalesce(np.price, s.new_spot) END)
	FROM instances n LEFT JOIN pool_prices np ON np.pool_id = n.pool_id
		LEFT JOIN on_demand_prices od ON od.region = n.region AND od.instance_type = n.instance_type
	WHERE s.id = $1 AND n.id = s.new_id AND n.agent_id = s.agent_id`

// CloseCommand ends a command. One that has ended keeps its result, so the answer
// of an agent and the end of a workflow may both come. Fails with
// switch.command_not_found.
func (s *Switches) CloseCommand(ctx context.Context, in activities.CommandResult) error {
	var known bool
	err := s.DB.Pool.QueryRow(ctx, `WITH closed AS (
			UPDATE commands SET status = $2, message = coalesce(nullif($3, ''), message), success = CASE $2 WHEN 'completed' THEN true WHEN 'failed' THEN false END,
				executed_at = CASE WHEN $2 IN ('completed', 'failed') THEN clock_timestamp() END
			WHERE id = $1 AND status = 'pending')
		SELECT EXISTS (SELECT FROM commands WHERE id = $1)`, in.CommandID, in.Status, in.Message).Scan(&known)
	if err == nil && !known {
		return switching.NotFound.New("there is no command %s", in.CommandID)
	}
	return translate(err)
}
