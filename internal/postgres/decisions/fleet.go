package decisions

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"spotkeeper/activities"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/postgres/pg"
)

var _ activities.DecisionStore = (*Decisions)(nil)

// Due lists the agents that a run of fleet-decisions has yet to decide about: in
// auto mode, enabled and online, with a primary. An agent that a later run has decided
// about is left to that.
func (s *Decisions) Due(ctx context.Context, period time.Time) ([]string, error) {
	r, err := s.DB.Pool.Query(ctx, `
		SELECT a.id FROM agents a JOIN instances i ON i.agent_id = a.id AND i.role = 'primary'
		WHERE a.keeping = 'auto' AND a.enabled AND a.status = 'online'
			AND NOT EXISTS (SELECT FROM decisions d WHERE d.period = $1 AND d.agent_id = a.id AND NOT d.shadow)
			AND NOT EXISTS (SELECT
				FROM decisions d
				WHERE d.agent_id = a.id
					AND d.source = 'schedule'
					AND NOT d.shadow
					AND d.newest
					AND coalesce(d.last_period, d.period) >= $1)
		ORDER BY a.id`, period)
	if err != nil {
		return nil, pg.Translate(err)
	}
	ids, err := pgx.CollectRows(r, pgx.RowTo[string])
	return ids, pg.Translate(err)
}

const selectInputs = `WITH ` + whoMoves + `
SELECT jsonb_build_object(` + standingOf + `, 'on_demand', ` + onDemandOf +
	`) FROM a JOIN instances i ON i.agent_id = a.id AND i.role = 'primary' ORDER BY array_position($1, a.id)`

const selectMarkets = `WITH markets AS (
	SELECT DISTINCT region, instance_type FROM instances WHERE agent_id = ANY($1) AND role = 'primary'),
candidates AS (
	SELECT p.id, p.instance_type, p.region, p.az
	FROM pools p
	JOIN markets m ON p.region = m.region AND p.instance_type = m.instance_type
	WHERE p.is_active),
` + poolFacts + `
SELECT jsonb_build_object('region', region, 'type', instance_type, 'pools', jsonb_agg(facts ORDER BY id))
FROM known
GROUP BY region, instance_type`

const selectBlocked = `
	WITH c AS (SELECT DISTINCT client_id FROM agents WHERE id = ANY($1))
	SELECT jsonb_build_object('client_id', client_id, 'pool_id', pool_id, 'until', retry_after)
	FROM pool_health
	WHERE mode = 'spot' AND retry_after > now() AND client_id IN (SELECT client_id FROM c)
	UNION ALL
	SELECT jsonb_build_object('client_id', c.client_id, 'pool_id', b.pool_id, 'until', b.until,
		'by', b.created_by, 'reason', b.reason)
	FROM c
	JOIN pool_blocks b ON b.subject IN ('', c.client_id) AND b.until > now()`

const selectOwnPrices = `
SELECT jsonb_build_object('client_id', o.client_id, 'pool_id', o.pool_id,
	'price', jsonb_build_object('usd', o.price, 'at', o.observed_at))
FROM (` + ownPrices + `) o`

const selectOtherPrices = `
WITH i AS (
	SELECT DISTINCT region, instance_type, product
	FROM instances
	WHERE agent_id = ANY($1) AND role = 'primary')
SELECT jsonb_build_object('pool_id', o.pool_id, 'product', o.product) || o.facts
FROM (` + otherPrices + `) o`

const selectProducts = `
SELECT jsonb_build_object('agent_id', agent_id, 'product', product)
FROM instances
WHERE agent_id = ANY($1)
  AND role = 'primary'
  AND product NOT IN ('', 'Linux/UNIX')`

// otherPrice is what a pool costs with a product that is not Linux.
type otherPrice struct {
	PoolID  string         `json:"pool_id"`
	Product string         `json:"product"`
	Price   engine.Price   `json:"price"`
	History []engine.Price `json:"history"`
}

type productOfAgent struct {
	AgentID string `json:"agent_id"`
	Product string `json:"product"`
}

// products gives agents that do not run Linux the pools of their market with the prices of
// what they run.
type products struct {
	of     map[string]string        // by agent
	prices map[[2]string]otherPrice // by pool and product
	pools  map[[3]string][]engine.Pool
}

func joinProducts(agents []productOfAgent, prices []otherPrice) *products {
	out := &products{of: map[string]string{}, prices: map[[2]string]otherPrice{}, pools: map[[3]string][]engine.Pool{}}
	for _, a := range agents {
		out.of[a.AgentID] = a.Product
	}
	for _, p := range prices {
		out.prices[[2]string{p.PoolID, p.Product}] = p
	}
	return out
}

// price returns the pools at the prices of a product, prepared once for all its agents.
func (p *products) price(at engine.Instance, product string, linux []engine.Pool) []engine.Pool {
	key := [3]string{at.Region, at.Type, product}
	if known, ok := p.pools[key]; ok {
		return known
	}
	priced := slices.Clone(linux)
	for n := range priced {
		x := p.prices[[2]string{priced[n].ID, product}]
		priced[n].Price, priced[n].History = x.Price, x.History
	}
	engine.Prepare(priced)
	p.pools[key] = priced
	return priced
}

type placePools struct {
	Region string        `json:"region"`
	Type   string        `json:"type"`
	Pools  []engine.Pool `json:"pools"`
}

// ownPrice is a client's own price of a pool that it has an instance in; it is more
// accurate than the market's.
type ownPrice struct {
	ClientID string       `json:"client_id"`
	PoolID   string       `json:"pool_id"`
	Price    engine.Price `json:"price"`
}

type blockedPool struct {
	ClientID string    `json:"client_id"`
	PoolID   string    `json:"pool_id"`
	Until    time.Time `json:"until"`
	By       string    `json:"by"` // empty: it had no capacity
	Reason   string    `json:"reason"`
}

// joinBlocks finds what stops each client in each pool: until the last of its blocks ends,
// with the words of the person whose block ends last.
func joinBlocks(all []blockedPool) map[[2]string]blockedPool {
	out, byPerson := map[[2]string]blockedPool{}, map[[2]string]time.Time{}
	for _, b := range all {
		key := [2]string{b.ClientID, b.PoolID}
		known := out[key]
		if b.By != "" && b.Until.After(byPerson[key]) {
			known.By, known.Reason, byPerson[key] = b.By, b.Reason, b.Until
		}
		if b.Until.After(known.Until) {
			known.Until = b.Until
		}
		out[key] = known
	}
	return out
}

// Inputs reads what decisions about many agents are made from, in the order of
// their ids: six statements that see one moment, whatever the number of agents.
// Agents of one market share its pools, which must not be changed. One without a
// primary is left out.
func (s *Decisions) Inputs(ctx context.Context, agentIDs []string) ([]engine.Input, error) {
	var inputs []engine.Input
	var markets []placePools
	var stops []blockedPool
	var own []ownPrice
	var running []productOfAgent
	var others []otherPrice
	err := pg.Translate(pgx.BeginTxFunc(ctx, s.DB.Pool, pgx.TxOptions{
		IsoLevel:   pgx.RepeatableRead,
		AccessMode: pgx.ReadOnly,
	}, func(tx pgx.Tx) error {
		var err error
		if inputs, err = queryStructs[engine.Input](ctx, tx, selectInputs, agentIDs); err != nil {
			return err
		}
		if markets, err = queryStructs[placePools](ctx, tx, selectMarkets, agentIDs); err != nil {
			return err
		}
		if running, err = queryStructs[productOfAgent](ctx, tx, selectProducts, agentIDs); err != nil {
			return err
		}
		if others, err = queryStructs[otherPrice](ctx, tx, selectOtherPrices, agentIDs); err != nil {
			return err
		}
		if own, err = queryStructs[ownPrice](ctx, tx, selectOwnPrices, agentIDs); err != nil {
			return err
		}
		stops, err = queryStructs[blockedPool](ctx, tx, selectBlocked, agentIDs)
		return err
	}))
	if err != nil {
		return nil, err
	}
	pools := map[[2]string][]engine.Pool{}
	for _, m := range markets {
		engine.Prepare(m.Pools)
		pools[[2]string{m.Region, m.Type}] = m.Pools
	}
	runs := joinProducts(running, others)
	blocks := joinBlocks(stops)
	priced := map[[2]string]engine.Price{}
	for _, o := range own {
		priced[[2]string{o.ClientID, o.PoolID}] = o.Price
	}
	for n := range inputs {
		in := &inputs[n]
		in.Limits.CoolDown = unset.CoolDown
		in.Pools = pools[[2]string{in.Instance.Region, in.Instance.Type}]
		product, other := runs.of[in.Agent.ID]
		if other {
			in.Pools = runs.price(in.Instance, product, in.Pools)
		}
		shared := true
		for i := range in.Pools {
			key := [2]string{in.Agent.ClientID, in.Pools[i].ID}
			block, stopped := blocks[key]
			price, known := priced[key]
			known = known && !other
			if !stopped && !known {
				continue
			}
			if shared { // blocks and own prices are this client's, the pools are shared by all clients
				in.Pools, shared = slices.Clone(in.Pools), false
			}
			if stopped {
				p := &in.Pools[i]
				p.BlockedUntil, p.BlockedBy, p.BlockReason = block.Until, block.By, block.Reason
			}
			if known {
				in.Pools[i].Price = price
			}
		}
	}
	return inputs, nil
}

func queryStructs[T any](ctx context.Context, tx pgx.Tx, sql string, args ...any) ([]T, error) {
	r, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return collectJSON[T](r)
}

// OpenSwitchOrders lists the moves that a run has decided on and not settled. Those that
// were not ordered while they were fresh are settled as lapsed.
func (s *Decisions) OpenSwitchOrders(
	ctx context.Context,
	period time.Time,
	fresh time.Duration,
) ([]activities.OpenSwitchOrder, error) {
	var out []activities.OpenSwitchOrder
	err := s.DB.InTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(
			ctx,
			`
				UPDATE decisions
				SET outcome = 'lapsed'
				WHERE outcome = 'open' AND period <= $1 AND created_at < now() - $2::float8 * interval '1 second'`,
			period,
			fresh.Seconds(),
		)
		if err != nil {
			return err
		}
		out, err = queryStructs[activities.OpenSwitchOrder](ctx, tx, `
			SELECT jsonb_build_object('decision_id', d.id, 'agent_id', d.agent_id, 'name',
				coalesce(nullif(a.hostname, ''), a.logical_agent_id), 'reason', d.reason,
				'target',
				jsonb_build_object('mode', CASE d.action WHEN 'switch_to_spot' THEN 'spot' ELSE 'ondemand' END,
				'pool_id', d.pool_id))
			FROM decisions d JOIN agents a ON a.id = d.agent_id WHERE d.period = $1 AND d.outcome = 'open' ORDER BY d.id`, period)
		return err
	})
	return out, err
}

// Settle keeps what became of a move. The refusal of an order is a veto of the
// decision like any other. It settles once; again changes nothing.
func (s *Decisions) Settle(ctx context.Context, in activities.SettledSwitchOrder) error {
	vetoes, err := json.Marshal(pg.NonNilList(in.Vetoes))
	if err != nil {
		return err
	}
	_, err = s.DB.Pool.Exec(
		ctx,
		`
			UPDATE decisions
			SET outcome = $2, command_id = nullif($3, ''), vetoes = vetoes || $4::jsonb
			WHERE id = $1 AND outcome = 'open'`,
		in.DecisionID,
		in.Outcome,
		in.CommandID,
		vetoes,
	)
	return pg.Translate(err)
}

// Tally counts what a run decided, over all its attempts, while no later run has
// begun. What was held back is counted by its first veto.
func (s *Decisions) Tally(ctx context.Context, period time.Time) (map[string]int64, error) {
	out := map[string]int64{"evaluated": 0, "moved": 0, "stayed": 0, "failed": 0, "lapsed": 0, "shadow": 0}
	r, err := s.DB.Pool.Query(ctx, `
		SELECT CASE WHEN shadow THEN 'shadow' WHEN outcome = 'ordered' THEN 'moved' WHEN outcome IN ('lapsed',
			'open') THEN 'lapsed'
				WHEN outcome = 'failed' OR vetoes->0->>'code' = ANY($2) THEN 'failed'
				WHEN outcome <> '' THEN 'held: ' || outcome WHEN jsonb_array_length(vetoes) > 0 THEN 'held: ' || (vetoes->0->>'code') ELSE 'stayed' END,
				count(*)
		FROM (
			SELECT * FROM decisions WHERE period = $1
			UNION ALL
			SELECT * FROM decisions WHERE source = 'schedule' AND newest AND last_period = $1) d
		GROUP BY 1`, period, []string{string(engine.Unavailable), string(engine.BadAnswer)})
	if err != nil {
		return nil, pg.Translate(err)
	}
	var what string
	var n int64
	_, err = pgx.ForEachRow(r, []any{&what, &n}, func() error {
		out[what] += n
		if what != "shadow" {
			out["evaluated"] += n
		}
		return nil
	})
	return out, pg.Translate(err)
}
