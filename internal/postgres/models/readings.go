package models

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/mlmodel"
	"spotkeeper/internal/postgres/pg"
)

// group counts what was seen of a group of agents in a span: those that decisions
// can move, inside or outside of a session's canary. The hash is that of
// mlmodel.InCanary. Decisions count when they were the session's own, so that a
// process which kept the old engine says nothing about the new one. What ran is
// priced by the latest price of its place.
var group = `
WITH members AS (
	SELECT id FROM agents a WHERE status <> 'deleted' AND enabled AND keeping = 'auto'
		AND (SELECT ((get_byte(h, 0) * 65536 + get_byte(h, 1) * 256 + get_byte(h,
		2))::bigint * 100 < $2::bigint * 16777216)
			FROM sha256(convert_to($1 || '/' || a.id, 'UTF8')) h) = $3::boolean),
decided AS (
	SELECT coalesce(sum(n), 0)::bigint AS n, coalesce(sum(n) FILTER (WHERE failed), 0)::bigint AS failed
	FROM (
		SELECT ` + pg.SaidWithin("b.since",
	"$5::timestamptz") +
	` AS n, d.vetoes @? '$[*] ? (@.code == "engine.unavailable" || @.code == "engine.bad_answer")' AS failed
		FROM (SELECT greatest($4::timestamptz, $5::timestamptz - interval '2 hours')) AS b(since)
		JOIN decisions d ON d.created_at >= b.since - interval '1 day'
			AND d.created_at < $5
			AND coalesce(d.last_at, d.created_at) >= b.since
		WHERE NOT d.shadow AND ($6 = '' OR d.engine_version = $6) AND d.agent_id IN (SELECT id FROM members)) s),
moved AS (
	SELECT count(*) AS n
	FROM switches
	WHERE initiated_at >= $4
		AND initiated_at < $5
		AND phase <> 'abandoned'
		AND trigger = 'model'
		AND agent_id IN (SELECT id FROM members)),
lost AS (
	SELECT count(*) AS n
	FROM operations
	WHERE kind = 'termination'
		AND state = 'failed'
		AND ended_at >= $4
		AND ended_at < $5
		AND agent_id IN (SELECT id FROM members)),
lives AS (
	SELECT i.role = 'primary' AS leads, coalesce(od.price, i.ondemand_price, i.baseline_price) AS reference,
		CASE WHEN i.mode = 'spot' THEN coalesce(pp.price, i.spot_price) ELSE coalesce(od.price, i.ondemand_price,
		i.baseline_price) END AS price,
		greatest(extract(epoch FROM least(coalesce(i.terminated_at,
		CASE WHEN i.role = 'retired' THEN coalesce(i.retiring_since, i.installed_at) END, $5),
		$5) - greatest(i.installed_at, $4)) / 3600,
		0) AS hours
	FROM instances i
	LEFT JOIN on_demand_prices od ON od.region = i.region AND od.instance_type = i.instance_type
	LEFT JOIN pool_prices pp ON pp.pool_id = i.pool_id
	WHERE i.agent_id IN (SELECT id FROM members) AND i.installed_at < $5 AND coalesce(i.terminated_at, $5) >= $4)
SELECT (SELECT count(*) FROM members), decided.n, decided.failed, moved.n, lost.n,
	coalesce((SELECT sum(hours * price) FROM lives WHERE price IS NOT NULL AND reference IS NOT NULL), 0)::float8,
	coalesce((SELECT sum(hours * reference) FROM lives WHERE leads AND price IS NOT NULL AND reference IS NOT NULL),
	0)::float8
FROM decided, moved, lost`

// compare holds a session's shadow decisions against the live ones of the same agent
// and run, which were noted beside them when they were kept. A decision without a live
// one beside it counts for nothing.
var compare = `
SELECT coalesce(sum(n), 0)::bigint,
    coalesce(sum(n) FILTER (WHERE action = live_action AND pool_id = live_pool_id), 0)::bigint,
	coalesce(sum(n) FILTER (WHERE vetoes @? '$[*] ? (@.code == "engine.unavailable" || @.code == "engine.bad_answer")'),
	0)::bigint,
	coalesce(sum(n) FILTER (WHERE action LIKE 'switch%'), 0)::bigint,
	coalesce(sum(n) FILTER (WHERE live_action LIKE 'switch%'), 0)::bigint,
	coalesce(sum(live_regret * n / repeats) / nullif(sum(n), 0), 0)::float8
FROM (
	SELECT d.*, ` + pg.SaidWithin("$2::timestamptz", "(now() + interval '1 day')") + ` AS n
	FROM decisions d
	WHERE d.shadow
		AND d.engine_version = $1
		AND d.live_action <> ''
		AND d.created_at >= $2::timestamptz - interval '1 day'
		AND coalesce(d.last_at, d.created_at) >= $2) s`

// Readings measures what the guards of a rollout judge by, and keeps it for the
// page. Once the session
// decides for all, the others are the same fleet in as much time before it began.
func (s *Rollouts) Readings(ctx context.Context, in activities.ReadingsQuery) (mlmodel.Readings, error) {
	out, err := s.measure(ctx, in)
	if err != nil || out.Gone {
		return out, err
	}
	shown, err := json.Marshal(out)
	if err != nil {
		return out, err
	}
	_, err = s.DB.Pool.Exec(
		ctx,
		`
			UPDATE model_rollouts
			SET readings = $2, updated_at = clock_timestamp()
			WHERE session_id = $1 AND ended_at IS NULL`,
		in.SessionID,
		shown,
	)
	return out, pg.Translate(err)
}

func (s *Rollouts) measure(ctx context.Context, in activities.ReadingsQuery) (mlmodel.Readings, error) {
	var version string
	var now, began time.Time
	var gone bool
	err := s.DB.Pool.QueryRow(
		ctx,
		`
			SELECT s.version, now(), r.started_at, r.ended_at IS NOT NULL
			FROM model_rollouts r
			JOIN model_sessions s ON s.id = r.session_id
			WHERE r.session_id = $1`,
		in.SessionID,
	).Scan(&version, &now, &began, &gone)
	if pg.IsNoRows(err) {
		return mlmodel.Readings{Gone: true}, nil
	}
	if err != nil {
		return mlmodel.Readings{}, pg.Translate(err)
	}
	out := mlmodel.Readings{Since: laterOf(in.Since, now.Add(-measuredFor)), Gone: gone}
	out.Span = now.Sub(out.Since)
	if gone || in.Phase == mlmodel.Validating {
		return out, nil
	}
	if in.Phase == mlmodel.Shadow {
		err := s.DB.Pool.QueryRow(ctx, compare, version, laterOf(in.Since, now.Add(-comparedFor))).
			Scan(&out.Shadow.Pairs, &out.Shadow.Agree, &out.Shadow.Errors, &out.Shadow.Moves, &out.Shadow.LiveMoves,
				&out.Shadow.Regret)
		return out, pg.Translate(err)
	}
	b := &pgx.Batch{}
	b.Queue(group, in.SessionID, in.Percent, true, out.Since, now, version).QueryRow(scanMeasure(&out.Group))
	if in.Percent < 100 {
		b.Queue(group, in.SessionID, in.Percent, false, out.Since, now, "").QueryRow(scanMeasure(&out.Others))
	} else {
		b.Queue(group, in.SessionID, 100, true, began.Add(-out.Span), began, "").QueryRow(scanMeasure(&out.Others))
	}
	return out, pg.Translate(s.DB.Pool.SendBatch(ctx, b).Close())
}

// How far back readings go at most, so that a long stage costs no more to watch
// than a short one.
const (
	measuredFor = 24 * time.Hour
	comparedFor = 2 * time.Hour
)

func scanMeasure(m *mlmodel.Measure) func(pgx.Row) error {
	return func(row pgx.Row) error {
		return row.Scan(&m.Agents, &m.Decisions, &m.Errors, &m.Switches, &m.FailedFailovers, &m.Spend, &m.Reference)
	}
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
