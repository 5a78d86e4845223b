package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/internal/postgres/pg"
)

// Switches stores the history of voluntary moves and the commands behind them.
type Switches struct{ DB *pg.DB }

// silentBefore says whether an instance of agent a was its primary for minutes and never
// spoke: then the silence of the next one says nothing.
const silentBefore = silentBeforeOf + `a.id` + silentBeforeEnd

// The condition of silentBefore around the agent's id, for queries that name it differently.
const (
	silentBeforeOf = `EXISTS (
        SELECT FROM role_changes h
        JOIN instances i ON i.id = h.new_id AND i.agent_id = h.agent_id
        WHERE h.agent_id = `
	silentBeforeEnd = `
          AND i.last_seen_at IS NULL
          AND coalesce(i.retiring_since, i.terminated_at, clock_timestamp()) > h.changed_at + interval '5 minutes')`
)

// selectSwitch reads the state of a switch, in one row. What is compared with now is
// compared with the database's clock. An instance on which the agent registered while
// it performed the order counts as named, until its report names one.
//
// A report that nothing ordered is about the primary as it was then. It counts
// although another instance is the primary, when that one is older than the report and
// did not follow the one that the agent left: the report on the previous move has not arrived yet.
const selectSwitch = `
SELECT jsonb_build_object(
    'agent_id', a.id,
    'logical_id', a.logical_agent_id,
    'epoch', a.epoch,
    'primary', coalesce(p.id, ''),
    'auto_terminate', a.auto_terminate_enabled,
    'deleted', a.status = 'deleted',
    'ordered', c.id IS NOT NULL,
    'status', coalesce(c.status, ''),
    'message', coalesce(c.message, ''),
    'target', jsonb_build_object(
        'mode', coalesce(c.target_mode, ''),
        'pool_id', coalesce(c.target_pool_id, ''),
        'instance_type', coalesce(c.instance_type, '')),
    'reason', coalesce(c.reason, ''),
    'priority', coalesce(c.priority, 0),
    'trigger', coalesce(s.trigger, ''),
    'keep_old', coalesce(c.terminate_wait_seconds, 0) * 1000000000::bigint,
    'old_id', coalesce(c.instance_id, s.old_id, ''),
    'phase', coalesce(s.phase, ''),
    'code', coalesce(s.error_code, ''),
    'new_id',
    coalesce(CASE WHEN s.reported_at IS NOT NULL THEN nullif(s.new_id, '') END, c.new_instance_id, s.new_id, ''),
    'reported', s.reported_at IS NOT NULL,
    'speaks', p.last_seen_at IS NOT NULL AND NOT ` + silentBefore + `,
    'replica', coalesce((
        SELECT jsonb_build_object(
            'id', r.id,
            'state', r.state,
            'instance_id', coalesce(r.instance_id, ''),
            'code', coalesce(r.error_code, ''),
            'error', coalesce(r.error, ''),
            'heard', n.last_seen_at IS NOT NULL OR r.last_sync_at IS NOT NULL,
            'ready_for', coalesce((extract(epoch FROM clock_timestamp() - r.ready_at) * 1000000000)::bigint, 0))
        FROM replicas r
        LEFT JOIN instances n ON n.id = r.instance_id AND n.agent_id = r.agent_id
        WHERE r.agent_id = a.id
          AND r.kind = 'switch'
          AND r.made_for = $2
        ORDER BY (r.state IN ('requested', 'launching', 'running', 'ready')) DESC, r.created_at DESC
        LIMIT 1), '{}'),
    'change', (
        SELECT jsonb_build_object(
            'old_id', h.old_id,
            'new_id', h.new_id,
            'replica_id', h.replica_id,
            'ended_by', CASE WHEN o.role = 'primary' THEN '' ELSE coalesce(o.terminate_by, '') END,
            'old_gone', o.terminated_at IS NOT NULL,
            'keep_left', (extract(epoch FROM h.changed_at - clock_timestamp()) * 1000000000)::bigint
                + coalesce(c.terminate_wait_seconds, 0) * 1000000000::bigint)
        FROM role_changes h
        LEFT JOIN instances o ON o.id = h.old_id AND o.agent_id = h.agent_id
        WHERE h.agent_id = a.id
          AND h.operation_id = 'switch/' || $2
        ORDER BY h.epoch DESC
        LIMIT 1),
    'noticed', EXISTS (
        SELECT FROM notices n
        WHERE n.agent_id = a.id
          AND n.instance_id = p.id
          AND n.kind = 'termination-notice'
          AND n.result IN ('', 'lost')),
    'failed_over', EXISTS (
        SELECT FROM role_changes h
        WHERE h.agent_id = a.id
          AND h.old_id = c.instance_id
          AND h.cause = 'termination'
          AND h.changed_at > c.created_at),
    'replaced', p.id IS NULL OR CASE
        WHEN c.id IS NOT NULL THEN p.id <> c.instance_id
        ELSE p.id <> s.old_id
            AND (coalesce(p.primary_since > s.reported_at, false)
                OR EXISTS (SELECT FROM role_changes h WHERE h.agent_id = a.id AND h.old_id = s.old_id)) END)
FROM agents a
LEFT JOIN commands c ON c.id = $2 AND c.agent_id = a.id AND c.command_type = 'switch'
LEFT JOIN switches s ON s.id = $2 AND s.agent_id = a.id
LEFT JOIN instances p ON p.agent_id = a.id AND p.role = 'primary'
WHERE a.id = $1
  AND coalesce(c.id, s.id) IS NOT NULL`

// Switch reads the state of a switch. Fails with switch.command_not_found when nothing
// ordered it and no agent reported it.
func (s *Switches) Switch(ctx context.Context, agentID, switchID string) (*activities.SwitchFacts, error) {
	var row struct {
		activities.SwitchFacts

		Priority int `json:"priority"`
	}
	err := s.DB.Pool.QueryRow(ctx, selectSwitch, agentID, switchID).Scan(&row)
	if pg.IsNoRows(err) {
		return nil, switching.NotFound.New("there is no switch %s of agent %s", switchID, agentID)
	}
	if row.Ordered {
		row.Trigger = switching.TriggerOf(row.Priority)
	}
	return &row.SwitchFacts, pg.Translate(err)
}

// phaseRank ranks the phases; a switch is abandoned only before it cut over.
const phaseRank = `array_position(ARRAY['launching', 'waiting_until_ready', 'cutting_over', 'abandoned', 'retiring_old', 'done'], `

// RecordPhase records how far a switch is. The first call makes the row, from the
// command and the instance it leaves, with the prices of that moment. Phases only
// go forward, so a late report of an earlier phase changes nothing. Fails with
// agent.not_found.
func (s *Switches) RecordPhase(ctx context.Context, in activities.SwitchPhase) error {
	b := &pgx.Batch{}
	b.Queue(
		`
		INSERT INTO switches (id, client_id, agent_id, operation_id, trigger, old_id, from_mode, from_pool, to_mode,
			to_pool, on_demand, old_spot, new_spot)
		SELECT $1, a.client_id, a.id, $3, coalesce(nullif(left($4, 20), ''), 'manual'), coalesce(o.id, $5),
			coalesce(o.mode, ''), o.pool_id,
			coalesce(c.target_mode, ''), c.target_pool_id, od.price, op.price, np.price
		FROM agents a
			LEFT JOIN commands c ON c.id = $1 AND c.agent_id = a.id
			LEFT JOIN instances o ON o.agent_id = a.id AND (o.id = $5 OR $5 = '' AND o.role = 'primary')
			LEFT JOIN `+pg.ListPrices+` od ON od.region = o.region
				AND od.instance_type = o.instance_type
				AND od.product = coalesce(nullif(o.product, ''), 'Linux/UNIX')
			LEFT JOIN `+pg.SpotPrices+` op ON op.pool_id = o.pool_id
				AND op.product = coalesce(nullif(o.product, ''), 'Linux/UNIX')
			LEFT JOIN `+pg.SpotPrices+` np ON np.pool_id = c.target_pool_id
				AND np.product = coalesce(nullif(o.product, ''), 'Linux/UNIX')
		WHERE a.id = $2 ON CONFLICT (id) DO NOTHING`,
		in.CommandID,
		in.AgentID,
		in.OperationID,
		in.Trigger,
		in.OldID,
	)
	found := false
	b.Queue(`UPDATE switches SET phase = CASE WHEN `+phaseRank+`$3::text) >= `+phaseRank+`phase) THEN $3 ELSE phase END,
			operation_id = coalesce(nullif($4, ''), operation_id),
			new_id = coalesce(nullif($5, ''), new_id),
			error_code = coalesce(nullif($6, ''), error_code),
			launched_at = CASE WHEN $3 = 'waiting_until_ready' THEN coalesce(launched_at, clock_timestamp()) ELSE launched_at END,
			ready_at = CASE WHEN $3 = 'cutting_over' THEN coalesce(ready_at, clock_timestamp()) ELSE ready_at END,
			cut_over_at = CASE WHEN $3 IN ('retiring_old', 'done') THEN coalesce(cut_over_at, clock_timestamp()) ELSE cut_over_at END,
			ended_at = CASE WHEN $3 IN ('done', 'abandoned') AND `+phaseRank+`$3::text) >= `+phaseRank+
		`phase) THEN coalesce(ended_at, clock_timestamp()) ELSE ended_at END
		WHERE id = $1 AND agent_id = $2 RETURNING true`, in.CommandID, in.AgentID, in.Phase, in.OperationID, in.NewID,
		in.Code).QueryRow(func(row pgx.Row) error {
		err := row.Scan(&found)
		if pg.IsNoRows(err) {
			return pg.UnknownAgent(in.AgentID)
		}
		return err
	})
	if in.Phase == switching.Retiring || in.Phase == switching.Done {
		b.Queue(priceOfTheMove, in.CommandID)
	}
	return pg.Translate(s.DB.Pool.SendBatch(ctx, b).Close())
}

// priceOfTheMove fills in where a switch ended and what it is worth per hour. A
// missing price leaves the worth unknown.
const priceOfTheMove = `
	UPDATE switches s SET to_pool = n.pool_id, to_mode = CASE n.mode WHEN 'unknown' THEN s.to_mode ELSE n.mode END,
		new_spot = coalesce(np.price, s.new_spot), savings_impact = coalesce(s.savings_impact,
			CASE s.from_mode WHEN 'ondemand' THEN s.on_demand ELSE s.old_spot END - CASE n.mode WHEN 'ondemand' THEN od.price ELSE coalesce(np.price,
			s.new_spot) END)
	FROM instances n
	LEFT JOIN launch_templates l ON l.agent_id = n.agent_id
	CROSS JOIN LATERAL ( -- a new instance is a copy of the one that its agent's description was read from
		SELECT coalesce(nullif(n.product, ''), l.template->>'product', 'Linux/UNIX') AS product) x
	LEFT JOIN ` + pg.SpotPrices + ` np ON np.pool_id = n.pool_id AND np.product = x.product
	LEFT JOIN ` + pg.ListPrices + ` od ON od.region = n.region
		AND od.instance_type = n.instance_type
		AND od.product = x.product
	WHERE s.id = $1 AND n.id = s.new_id AND n.agent_id = s.agent_id`

// CloseCommand ends a command. One that has ended keeps its result, so the answer
// of an agent and the end of a workflow may both come. Fails with
// switch.command_not_found.
func (s *Switches) CloseCommand(ctx context.Context, in activities.CommandResult) error {
	var known bool
	err := s.DB.Pool.QueryRow(ctx, `WITH closed AS (
			UPDATE commands
			SET status = $2, message = coalesce(nullif($3, ''), message),
				success = CASE $2 WHEN 'completed' THEN true WHEN 'failed' THEN false END,
				executed_at = CASE WHEN $2 IN ('completed', 'failed') THEN clock_timestamp() END
			WHERE id = $1 AND status = 'pending')
		SELECT EXISTS (SELECT FROM commands WHERE id = $1)`, in.CommandID, in.Status, in.Message).Scan(&known)
	if err == nil && !known {
		return switching.NotFound.New("there is no command %s", in.CommandID)
	}
	return pg.Translate(err)
}
