package views

import (
	"context"
	"encoding/json"
	"time"

	"spotkeeper/internal/postgres/pg"
)

// DecisionRun is a run of fleet-decisions with what it counted over all clients.
type DecisionRun struct {
	Period    time.Time
	State     string
	StartedAt time.Time
	EndedAt   *time.Time
	Counts    json.RawMessage // evaluated, moved, stayed, failed, lapsed, shadow, and held: <code>
}

// DecisionRuns lists runs of fleet-decisions since a moment, newest first.
func (v *Views) DecisionRuns(ctx context.Context, since time.Time) ([]DecisionRun, error) {
	return pg.QueryRows[DecisionRun](ctx, v.DB, `
		SELECT period, state, started_at, ended_at, counts
		FROM job_runs
		WHERE job = 'fleet-decisions'
		  AND period >= $1
		ORDER BY period DESC
		LIMIT 2016`, since)
}

// saidSince are the rows d of scheduled decisions that were said since $2 about the agents
// of the client $1, or of all, with how often that was.
var saidSince = `said AS MATERIALIZED (
			SELECT d.*, ` + pg.SaidWithin("$2::timestamptz", "(now() + interval '1 day')") + ` AS n
			FROM decisions d
			WHERE d.source = 'schedule'
			  AND d.created_at >= $2::timestamptz - interval '1 day'
			  AND coalesce(d.last_at, d.created_at) >= $2
			  AND ($1 = '' OR d.client_id = $1))`

// JudgedView summarises scheduled decisions: how often they were to stay or to move, and
// what became of that. A decision that repeats counts each time.
type JudgedView struct {
	Result    string // stayed, moved, lapsed, failed or held
	Decisions int64
	Agents    int64
}

// Judged sums up what live engines decided since a moment.
func (v *Views) Judged(ctx context.Context, clientID string, since time.Time) ([]JudgedView, error) {
	return pg.QueryRows[JudgedView](ctx, v.DB, `
		WITH `+saidSince+`
		SELECT CASE
				WHEN outcome = 'ordered' THEN 'moved'
				WHEN outcome IN ('lapsed', 'open') THEN 'lapsed'
				WHEN outcome = 'failed' THEN 'failed'
				WHEN outcome <> '' OR inputs->'wanted' IS NOT NULL OR jsonb_array_length(vetoes) > 0 THEN 'held'
				ELSE 'stayed'
			END AS result,
			coalesce(sum(n), 0)::bigint AS decisions, count(DISTINCT agent_id) AS agents
		FROM said
		WHERE NOT shadow
		  AND n > 0
		GROUP BY 1
		ORDER BY 2 DESC`, clientID, since)
}

// VetoView is what held moves back: against any move of an agent, or against one place.
type VetoView struct {
	Code      string
	Scope     string // agent: against any move; place: against one other place
	Decisions int64  // in which it was said
	Agents    int64
}

// Vetoes ranks what spoke against moves since a moment. One decision counts once for each
// code, however many places the code spoke against.
func (v *Views) Vetoes(ctx context.Context, clientID string, since time.Time) ([]VetoView, error) {
	return pg.QueryRows[VetoView](ctx, v.DB, `
		WITH `+saidSince+`,
		vetoed AS (
			SELECT DISTINCT s.id, s.agent_id, s.n, x.scope, x.code
			FROM said s
			CROSS JOIN LATERAL (
				SELECT 'agent' AS scope, v->>'code' AS code
				FROM jsonb_array_elements(s.vetoes) v
				UNION ALL
				SELECT 'place', v->>'code'
				FROM jsonb_path_query(s.scores, '$[*].vetoes[*]') v) x
			WHERE NOT s.shadow
			  AND s.n > 0
			  AND x.code IS NOT NULL)
		SELECT code, scope, sum(n)::bigint AS decisions, count(DISTINCT agent_id) AS agents
		FROM vetoed
		GROUP BY code, scope
		ORDER BY decisions DESC, code, scope`, clientID, since)
}

// EngineView is what an engine decided. A shadow is compared with the live decisions of
// the same agents and runs.
type EngineView struct {
	Engine    string
	Version   string
	Shadow    bool
	Decisions int64
	Agents    int64
	Moves     int64
	Compared  int64   // shadow decisions that have a live one beside them
	Agreed    int64   // of those, with the same action and target
	LiveMoves int64   // of those, in which the live engine wanted to move
	Regret    float64 // of those, the mean of what the live decision saved more, USD per hour
}

// DecidingEngines lists the engines that decided since a moment, live ones first.
func (v *Views) DecidingEngines(ctx context.Context, clientID string, since time.Time) ([]EngineView, error) {
	return pg.QueryRows[EngineView](ctx, v.DB, `
		WITH `+saidSince+`
		SELECT engine, engine_version AS version, shadow, sum(n)::bigint AS decisions,
			count(DISTINCT agent_id) AS agents,
			coalesce(sum(n) FILTER (WHERE action LIKE 'switch%'), 0)::bigint AS moves,
			coalesce(sum(n) FILTER (WHERE live_action <> ''), 0)::bigint AS compared,
			coalesce(sum(n) FILTER (WHERE live_action = action AND live_pool_id = pool_id), 0)::bigint AS agreed,
			coalesce(sum(n) FILTER (WHERE live_action LIKE 'switch%'), 0)::bigint AS live_moves,
			coalesce(sum(live_regret * n / repeats) FILTER (WHERE live_action <> '')
				/ nullif(sum(n) FILTER (WHERE live_action <> ''), 0), 0)::float8 AS regret
		FROM said
		WHERE n > 0
		GROUP BY engine, engine_version, shadow
		ORDER BY shadow, decisions DESC, engine, engine_version`, clientID, since)
}
