package postgres_test

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/engine"
	"spotkeeper/internal/postgres/decisions"
)

// TestDecisionsOfWritersAtOnce: nothing is lost, counted twice, or kept beside the
// newest row of its stream.
func TestDecisionsOfWritersAtOnce(t *testing.T) {
	t.Parallel()
	const writers, rounds = 6, 8
	for name, tt := range map[string]struct {
		make func(w, n int) engine.Record
		want string
	}{
		"the same": {func(int, int) engine.Record { return stay("a1") }, fmt.Sprintf("%d 1 true", writers*rounds)},
		"the same run": {func(_, n int) engine.Record { return stay("a1", inRun(n)) },
			fmt.Sprintf("%d 1 true", rounds)},
		"a run decided anew": {func(w, n int) engine.Record {
			return stay("a1", inRun(n), func(r *engine.Record) { r.Decision.Version = strconv.Itoa(n % 3) })
		}, fmt.Sprintf("%d 1 false", rounds)},
		"each something else": {func(w, _ int) engine.Record {
			return stay("a1", func(r *engine.Record) { r.Decision.Version = strconv.Itoa(w % 2) })
		}, fmt.Sprintf("%d 1 false", writers*rounds)},
		"an open move of a run": {func(_, n int) engine.Record {
			return stay("a1", inRun(n), func(r *engine.Record) { r.Outcome = engine.OutcomeOpen })
		}, fmt.Sprintf("%d 1 false", rounds)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := guard(t)
			errs := make([]error, writers)
			for n := range rounds {
				var all sync.WaitGroup
				for w := range writers {
					all.Go(func() {
						if err := (&decisions.Decisions{DB: g.db}).Keep(t.Context(), tt.make(w, n)); err != nil {
							errs[w] = err
						}
					})
				}
				all.Wait()
			}
			for _, err := range errs {
				require.NoError(t, err)
			}
			require.Equal(t, tt.want,
				one[string](
					g,
					`
						SELECT concat_ws(' ', sum(repeats), count(*) FILTER (WHERE newest), (count(*) = 1)::text)
						FROM decisions`,
				))
		})
	}
	t.Run("without a turn", func(t *testing.T) {
		t.Parallel()
		g := guard(t)
		version := func(v string, edit ...func(*engine.Record)) engine.Record {
			return stay("a1", append(edit, func(r *engine.Record) { r.Decision.Version = v })...)
		}
		for _, step := range []struct {
			r    engine.Record
			want string
		}{
			{version("1"), "1"}, {version("1"), "1 1"}, {version("1", inRun(1)), "1 1 1"},
			{version("2", inRun(1)), "1 1 1"}, // no row is the newest
		} {
			require.NoError(t, (&decisions.Decisions{DB: g.db, Turns: 1}).Keep(t.Context(), step.r))
			require.Equal(t, step.want, g.said())
		}
		g.exec(`TRUNCATE decisions`)
		g.keep(version("1"), version("1", inRun(1)))
		for _, step := range []struct {
			r    engine.Record
			want string
		}{
			{version("2"), "1N 1N 1"}, {version("1"), "2N 1N 1"}, {version("2", inRun(1)), "2N 1N 1"},
			{version("1", inRun(2)), "2N 2N 1"}, {version("2", inRun(3)), "2N 2N 1 1"},
		} {
			require.NoError(t, (&decisions.Decisions{DB: g.db, Turns: 1}).Keep(t.Context(), step.r))
			require.Equal(t, step.want, g.said())
		}
	})
	t.Run("batches in other orders", func(t *testing.T) {
		t.Parallel()
		g := guard(t)
		for n := range 20 {
			g.agent("k1", fmt.Sprintf("b%d", n), fmt.Sprintf("i-b%d", n))
		}
		errs := make([]error, writers)
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				for n := range rounds {
					var batch []engine.Record
					for k := range 20 {
						batch = append(batch, stay(fmt.Sprintf("b%d",
							(k*7+w)%20), func(r *engine.Record) { r.Decision.Version = strconv.Itoa((n + k) % 2) }))
					}
					if err := (&decisions.Decisions{DB: g.db}).Keep(t.Context(), batch...); err != nil {
						errs[w] = err
					}
				}
			})
		}
		all.Wait()
		for _, err := range errs {
			require.NoError(t, err)
		}
		require.Equal(t, fmt.Sprintf("%d 20", 20*writers*rounds),
			one[string](g, `SELECT concat_ws(' ', sum(repeats), count(*) FILTER (WHERE newest)) FROM decisions`))
	})
}

// TestADayOfAFleetIsFewRows: the prices move all the time, the agents stay. The budget
// is 100,000 rows a day for 10,000 agents, which is ten for each.
func TestADayOfAFleetIsFewRows(t *testing.T) {
	t.Parallel()
	g := guard(t)
	for n := range 5 {
		g.agent("k1", fmt.Sprintf("b%d", n), fmt.Sprintf("i-b%d", n))
	}
	g.bazaar()
	g.exec(`UPDATE instances SET az = 'us-east-1c', pool_id = 't3.medium.us-east-1c'`)
	d := g.decider(&guardians{})
	const runs = 96
	for n := range runs {
		g.exec(
			`
				UPDATE pool_prices
				SET price = price * (1 + (($1::int * 37 + ascii(right(pool_id, 1))) % 11 - 5) / 1000.0),
					observed_at = now()`,
			n,
		)
		counts := g.decideFleet(d, someFive.Add(time.Duration(n)*5*time.Minute))
		require.EqualValues(t, 6, counts["evaluated"], n)
	}
	require.Equal(t, 6*runs, one[int](g, `SELECT sum(repeats) FROM decisions`))
	require.LessOrEqual(t, one[int](g, `SELECT count(*) FROM decisions`), 6*10*runs/288, "a third of a day")
	require.Equal(t, 6, one[int](g, `SELECT count(*) FROM decisions WHERE newest`))
}
