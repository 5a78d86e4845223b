package decisions

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/engine"
	"spotkeeper/internal/postgres/pg"
)

// The decisions about an agent are streams: one per source, and one of engines on
// trial beside each. A decision that says the same as the newest of its stream is
// counted on that row, which then shows the numbers and words of the last one. A
// decision that led to an order, or may lead to one, has a row of its own.

// sameDecision says whether the decision x says the same as the row d: about the same
// instance in the same place, by the same engine, with the same action, target and
// outcome, held back from the same move by the same codes, and for the same reason but
// for the numbers in it. A row spans at most a day, so that it can expire, and begins
// anew with each stage of a rollout, so that the guards of a stage count its own
// decisions.
const sameDecision = `(
	d.instance_id = x.instance_id AND d.current_mode = x.current_mode AND d.current_pool_id = x.current_pool_id
	AND d.engine = x.engine AND d.engine_version = x.engine_version AND d.action = x.action AND d.pool_id = x.pool_id
	AND d.outcome = x.outcome AND d.outcome NOT IN ('open', 'ordered') AND d.command_id IS NULL AND x.command_id IS NULL
	AND d.inputs->'wanted' IS NOT DISTINCT FROM x.inputs->'wanted'
	AND jsonb_path_query_array(d.vetoes, '$[*].code') = jsonb_path_query_array(x.vetoes, '$[*].code')
	AND regexp_replace(d.reason, ` + numbersOfReason + `, '#', 'g') = regexp_replace(x.reason, ` + numbersOfReason +
	`, '#', 'g')
	AND d.live_action = x.live_action AND d.live_pool_id = x.live_pool_id
	AND d.created_at > now() - interval '1 day' AND d.created_at >= x.stage_since)`

// numbersOfReason matches prices, shares, dates and times.
const numbersOfReason = `'[0-9][0-9.:-]*'`

// keepDecisions keeps at most one decision about each agent and one of a shadow beside
// it, and returns the numbers of those that have to be tried again because another
// writer began a new row in the same moment. Each decision that is not of a shadow goes
// to the front of the agent's last five, whether it is counted or begins a row. The
// newest row of each stream is locked in the order of the streams, and after all of
// them the agents' last decisions in the order of the agents, so two batches wait for
// each other and never in a circle.
//
// With $2 it begins no newest row: it keeps what says something else as a row that is
// not said again, beside the newest one. Then only a run's constraint can refuse it,
// because another writer has kept the decision of that run.
//
// What a run of fleet-decisions has said already, or a later run, is left as it is.
const keepDecisions = `
WITH x AS MATERIALIZED (
	SELECT r.*, a.client_id, coalesce(l.action, '') AS live_action, coalesce(l.pool_id, '') AS live_pool_id,
		coalesce(l.expected_savings - r.expected_savings, 0) AS live_regret,
		coalesce((SELECT max(o.stage_since) FROM model_rollouts o WHERE o.ended_at IS NULL), '-infinity') AS stage_since
	FROM jsonb_to_recordset($1::jsonb) AS r (n int, agent_id text, instance_id text, action text, current_mode text,
		current_pool_id text, pool_id text,
		risk_score numeric(5, 4), expected_savings numeric(12, 6), confidence numeric(4, 3), reason text, vetoes jsonb,
		scores jsonb, inputs jsonb,
		engine text, engine_version text, shadow boolean, source text, period timestamptz, outcome text,
		command_id text)
	JOIN agents a ON a.id = r.agent_id
	LEFT JOIN LATERAL (
		SELECT d.action, d.pool_id, d.expected_savings
		FROM decisions d
		WHERE r.shadow AND d.period = r.period AND d.agent_id = r.agent_id AND NOT d.shadow
		UNION ALL
		SELECT d.action, d.pool_id, d.expected_savings
		FROM decisions d
		WHERE r.shadow
			AND d.agent_id = r.agent_id
			AND d.source = r.source
			AND NOT d.shadow
			AND d.newest
			AND d.last_period = r.period
		LIMIT 1) l ON true
	WHERE r.period IS NULL OR NOT EXISTS (
		SELECT FROM decisions d WHERE d.period = r.period AND d.agent_id = r.agent_id AND d.shadow = r.shadow)
	ORDER BY r.agent_id, r.source, r.shadow),
held AS MATERIALIZED (
	SELECT x.n, d.id, coalesce(coalesce(d.last_period, d.period) >= x.period, false) AS late, ` + sameDecision +
	` AS same
	FROM x
	CROSS JOIN LATERAL (
		SELECT *
		FROM decisions d
		WHERE d.agent_id = x.agent_id AND d.source = x.source AND d.shadow = x.shadow AND d.newest
		FOR NO KEY UPDATE) d),
repeated AS (
	UPDATE decisions d
	SET repeats = d.repeats + 1, last_at = greatest(now(), d.created_at), last_period = x.period,
		risk_score = x.risk_score,
		expected_savings = x.expected_savings, confidence = x.confidence, reason = x.reason, vetoes = x.vetoes,
		scores = x.scores, inputs = x.inputs,
		live_regret = d.live_regret + x.live_regret
	FROM held h
	JOIN x USING (n)
	WHERE d.id = h.id AND h.same AND NOT h.late
	RETURNING x.n, ` + shownOfDecision + `),
closed AS (
	UPDATE decisions d
	SET newest = false
	FROM held h
	WHERE d.id = h.id AND NOT h.same AND NOT h.late AND NOT $2
	RETURNING h.n),
begun AS (
	INSERT INTO decisions AS d (client_id, agent_id, instance_id, action, current_mode, current_pool_id, pool_id,
		risk_score, expected_savings,
		confidence, reason, vetoes, scores, inputs, engine, engine_version, shadow, source, period, outcome, command_id,
		live_action, live_pool_id,
		live_regret, newest)
	SELECT client_id, agent_id, instance_id, action, current_mode, current_pool_id, pool_id, risk_score,
		expected_savings,
		confidence, reason, vetoes, scores, inputs, engine, engine_version, shadow, source, period, outcome, command_id,
		live_action, live_pool_id,
		live_regret, NOT $2
	FROM x
	WHERE n IN (SELECT n FROM closed)
		OR n NOT IN (SELECT n FROM held)
		OR $2
		AND n IN (SELECT n FROM held WHERE NOT same AND NOT late)
	ORDER BY agent_id, source, shadow
	ON CONFLICT DO NOTHING
	RETURNING ` + shownOfDecision + `),
shown AS (
	INSERT INTO agent_decisions AS p (agent_id, at, actions, modes, risks, savings)
	SELECT agent_id, ARRAY[at], ARRAY[action], ARRAY[current_mode], ARRAY[risk_score::float8],
		ARRAY[expected_savings::float8]
	FROM (SELECT ` + namesOfShown + ` FROM repeated UNION ALL SELECT ` + namesOfShown + ` FROM begun) d
	WHERE NOT shadow
	ORDER BY agent_id
	ON CONFLICT (agent_id) DO UPDATE
	SET at = (excluded.at || p.at)[1:5], actions = (excluded.actions || p.actions)[1:5],
		modes = (excluded.modes || p.modes)[1:5],
		risks = (excluded.risks || p.risks)[1:5], savings = (excluded.savings || p.savings)[1:5])
SELECT x.n
FROM x
WHERE x.n NOT IN (SELECT n FROM repeated) AND x.n NOT IN (SELECT n FROM held WHERE late)
	AND NOT EXISTS (SELECT FROM begun b WHERE b.agent_id = x.agent_id AND b.shadow = x.shadow)`

// What pages show of a decision.
const (
	namesOfShown    = `agent_id, shadow, action, current_mode, risk_score, expected_savings, at`
	shownOfDecision = `d.agent_id, d.shadow, d.action, d.current_mode, d.risk_score, d.expected_savings,
		coalesce(d.last_at, d.created_at) AS at`
)

// defaultTurns is how often a decision is tried, each time after another writer of the stream
// has kept one that says something else. The last time it needs no turn.
const defaultTurns = 4

// Keep keeps decisions with what they were made from. What is about an agent that
// is gone is dropped; a decision of a run that is there already stays as it is, so
// a run may keep what it decided twice. Outside of runs a decision that is kept twice
// was said twice.
func (s *Decisions) Keep(ctx context.Context, records ...engine.Record) error {
	lines := make([]map[string]any, len(records))
	for n, r := range records {
		lines[n] = decisionLine(n, r)
	}
	turns := cmp.Or(s.Turns, defaultTurns)
	for len(lines) > 0 {
		batch, later := firstOfAgents(lines, records)
		for turn := 1; turn <= turns && len(batch) > 0; turn++ {
			lost, err := s.storeDecisions(ctx, batch, turn == turns)
			if err != nil {
				return err
			}
			batch = slices.DeleteFunc(batch, func(line map[string]any) bool {
				return !slices.Contains(lost,
					line["n"].(int))
			})
		}
		lines = later
	}
	return nil
}

// storeDecisions is keepDecisions; it returns the numbers of those that lost their turn.
func (s *Decisions) storeDecisions(ctx context.Context, lines []map[string]any, last bool) ([]int, error) {
	raw, err := json.Marshal(lines)
	if err != nil {
		return nil, err
	}
	found, err := s.DB.Pool.Query(ctx, keepDecisions, raw, last)
	if err != nil {
		return nil, pg.Translate(err)
	}
	lost, err := pgx.CollectRows(found, pgx.RowTo[int])
	return lost, pg.Translate(err)
}

// firstOfAgents takes the first decision about each agent, and the first of a shadow;
// the others wait for it.
func firstOfAgents(lines []map[string]any, records []engine.Record) (first, later []map[string]any) {
	type subject struct {
		agentID string
		shadow  bool
	}
	seen := make(map[subject]bool, len(lines))
	for _, line := range lines {
		r := records[line["n"].(int)]
		if of := (subject{r.Input.Agent.ID, r.Shadow}); !seen[of] {
			seen[of] = true
			first = append(first, line)
		} else {
			later = append(later, line)
		}
	}
	return first, later
}

// decisionLine is a record as keepDecisions reads it.
func decisionLine(n int, r engine.Record) map[string]any {
	in, d := r.Input, r.Decision
	line := map[string]any{
		"n":                n,
		"agent_id":         in.Agent.ID,
		"instance_id":      in.Instance.ID,
		"action":           d.LegacyType(),
		"current_mode":     in.Instance.Mode,
		"current_pool_id":  in.Instance.PoolID,
		"pool_id":          d.PoolID,
		"risk_score":       d.Risk,
		"expected_savings": d.Savings,
		"confidence":       d.Confidence,
		"reason":           d.Reason,
		"vetoes":           pg.NonNilList(d.Vetoes),
		"scores":           pg.NonNilList(d.Scores),
		"engine":           d.Engine,
		"engine_version":   d.Version,
		"shadow":           r.Shadow,
		"source":           r.Source,
		"outcome":          r.Outcome,
		"inputs": map[string]any{
			"digest":    d.Digest,
			"wanted":    d.Wanted,
			"gain":      d.Gain,
			"on_demand": in.OnDemand,
			"limits":    in.Limits,
			"activity":  in.Activity,
			"holds":     in.Holds,
		},
	}
	if !r.Period.IsZero() {
		line["period"] = r.Period
	}
	if r.CommandID != "" {
		line["command_id"] = r.CommandID
	}
	return line
}
