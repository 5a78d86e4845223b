package postgres_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/postgres/views"
)

// asked records the last statement that was sent and with what.
type asked struct {
	sql  string
	args []any
}

func (a *asked) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	a.sql, a.args = d.SQL, d.Args
	return ctx
}

func (*asked) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// plan is a node of EXPLAIN's output.
type plan struct {
	Type    string  `json:"Node Type"`
	Table   string  `json:"Relation Name"`
	Rows    float64 `json:"Actual Rows"`
	Loops   float64 `json:"Actual Loops"`
	Removed float64 `json:"Rows Removed by Filter"`
	Plans   []plan  `json:"Plans"`
}

// read sums what the nodes of a plan read of a table, by their types.
func (p plan) read(table string, by map[string]int) {
	if p.Table == table {
		by[p.Type] += int((p.Rows + p.Removed) * p.Loops)
	}
	for _, sub := range p.Plans {
		sub.read(table, by)
	}
}

// traced is the views over a pool of their own, and what they ask.
func (g *guarded) traced() (*views.Views, *asked) {
	g.t.Helper()
	cfg, tracer := g.db.Pool.Config(), &asked{}
	cfg.ConnConfig.Tracer = tracer
	pool, err := pgxpool.NewWithConfig(g.t.Context(), cfg)
	require.NoError(g.t, err)
	g.t.Cleanup(pool.Close)
	return &views.Views{DB: &pg.DB{Pool: pool}}, tracer
}

// TestAChartCostsWhatItShows: a chart reads the hours of its own pools and its own days,
// however many others there are, and each point gives the share of it that was measured.
func TestAChartCostsWhatItShows(t *testing.T) {
	t.Parallel()
	g := guard(t)
	reader, tracer := g.traced()

	const days = 3
	grow := func(fromType, types int) {
		g.exec(
			`
			INSERT INTO pools (id, instance_type, region, az)
			SELECT 't' || n || '.x.us-east-1' || z, 't' || n || '.x', 'us-east-1', 'us-east-1' || z
			FROM generate_series($1::int, $2::int) n, unnest(ARRAY['a', 'b']) z`,
			fromType,
			fromType+types-1,
		)
		g.exec(`INSERT INTO price_buckets (pool_id, bucket, price, source_type, method, confidence, observed_at)
			SELECT p.id, t, 0.01, CASE WHEN k THEN 'interpolated' ELSE 'collector' END, CASE WHEN k THEN 'linear' END, 1,
				t
			FROM pools p,
				generate_series($1::timestamptz - interval '10 days', $1::timestamptz - interval '5 minutes',
				interval '5 minutes') t,
				LATERAL (SELECT extract(minute FROM t) >= 45 AS k) i
			WHERE p.instance_type = ANY (SELECT 't' || n || '.x' FROM generate_series($2::int, $3::int) n)`, noon,
			fromType, fromType+types-1)
		g.exec(`ANALYZE price_hours`)
		g.exec(`ANALYZE pools`)
	}
	chart := func(unit string) (series []views.PriceSeries, read map[string]int) {
		series, err := reader.PriceHistory(t.Context(), "t0.x", "us-east-1", unit, noon.AddDate(0, 0, -days))
		require.NoError(t, err)
		var raw []byte
		require.NoError(t, g.db.Pool.QueryRow(t.Context(), "EXPLAIN (ANALYZE, TIMING off, FORMAT JSON) "+tracer.sql,
			tracer.args...).Scan(&raw))
		var plans []struct{ Plan plan }
		require.NoError(t, json.Unmarshal(raw, &plans))
		read = map[string]int{}
		plans[0].Plan.read("price_buckets", read)
		require.Empty(t, read, "the five-minute prices are not read")
		plans[0].Plan.read("price_hours", read)
		return series, read
	}
	grow(0, 4)
	for size, more := range []int{4, 24, 0} {
		for unit, want := range map[string]int{"hour": 24 * days, "day": days + 1} {
			series, read := chart(unit)
			require.Len(t, series, 2)
			for _, s := range series {
				require.Len(t, s.At, want, unit)
				require.InDelta(t, 0.01, s.Price[1], 1e-12)
				require.InDelta(t, 0.75, s.Measured[1], 1e-9, "a quarter of each hour is interpolated")
			}
			total := 0
			for how, n := range read {
				require.NotEqual(t, "Seq Scan", how, "size %d", size)
				total = max(total, n) // a bitmap is read once for the index and once for the rows
			}
			require.Equal(t, 2*days*24, total, "of size %d: %v", size, read)
		}
		grow(100*(size+1), max(more, 1))
	}
}
