package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/devtest"
	"spotkeeper/internal/testkit/pgserver"
	"spotkeeper/internal/testkit/scratch"
)

// cluster is a Postgres with a synchronous streaming replica, behind PgBouncer in
// transaction mode.
type cluster struct {
	primary, standby *pgserver.Server
	bouncer          *pgserver.Bouncer
}

func newCluster(ctx context.Context, t *testing.T) *cluster {
	t.Helper()
	dir := func() string {
		d, err := scratch.InMemory("spotkeeper-cluster-", 1<<30)
		require.NoError(t, err)
		t.Cleanup(d.Remove)
		return d.Path
	}
	var c cluster
	var err error
	c.primary, err = pgserver.Start(ctx, dir())
	require.NoError(t, err)
	t.Cleanup(func() { c.primary.Stop() })
	for _, statement := range []string{
		`CREATE DATABASE spotkeeper`,
		`ALTER ROLE postgres SET jit = off`, // as docs/postgres.md says for a pooler of transactions
		`ALTER ROLE postgres SET statement_timeout = '5min'`,
	} {
		execute(ctx, t, c.primary.URL("postgres"), statement)
	}
	c.standby, err = c.primary.Follow(ctx, dir())
	require.NoError(t, err)
	t.Cleanup(c.standby.Stop)
	c.bouncer, err = pgserver.Pool(ctx, dir(), c.primary)
	require.NoError(t, err)
	t.Cleanup(c.bouncer.Stop)
	return &c
}

func execute(ctx context.Context, t *testing.T, url, statement string) {
	t.Helper()
	conn, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	_, err = conn.Exec(ctx, statement)
	require.NoError(t, err)
	require.NoError(t, conn.Close(ctx))
}

// TestAStandbyOfPostgresTakesOver: behind PgBouncer in transaction mode the primary dies
// while agents move, new transactions are led to its replica, and only then that is
// promoted. Nothing is restarted. What was acknowledged is there, nothing is done twice,
// and agents are answered with 503 meanwhile, never with 500.
func TestAStandbyOfPostgresTakesOver(t *testing.T) {
	t.Parallel()
	const agents, moves = 10, 20
	devtest.Build(t)
	ctx := deadline(t, 8*time.Minute)
	c := newCluster(ctx, t)
	s := devtest.Start(t, devtest.Options{
		Without:     []string{devtest.Postgres, devtest.Worker, devtest.API},
		Environment: map[string]string{"DATABASE_URL": c.bouncer.URL("spotkeeper"), "DATABASE_POOLER": "transaction"},
	})
	s.DatabaseURL = fmt.Sprintf("postgres://postgres@127.0.0.1:%d,127.0.0.1:%d/spotkeeper?sslmode=disable"+
		"&target_session_attrs=read-write", c.primary.Port, c.standby.Port)
	require.NoError(t, s.Migrate(ctx))
	for _, part := range []string{devtest.Worker, devtest.API} {
		require.NoError(t, s.Restart(ctx, part))
	}
	processes := []int{s.PID(devtest.Worker), s.PID(devtest.API)}

	f := newFleet(t, s, newTenant(t, s))
	members := joinAll(ctx, t, f, agents)
	f.answers = &tally{counts: map[string]int{}}
	made := &tally{counts: map[string]int{}}
	replaced := make(chan error, 1)
	go func() { replaced <- c.replace(ctx, t, f, made, moves/3) }()
	require.NoError(t, travelAll(ctx, members, moves, made))
	require.NoError(t, <-replaced)
	t.Logf("%d moves: %v; answers: %v", moves, made, f.answers)
	for line := range strings.SplitSeq(s.Log(devtest.API, 5000), "\n") {
		if strings.Contains(line, `"level":"ERROR"`) {
			t.Log(line)
		}
	}
	settleAndAudit(ctx, t, f, 3*time.Minute, agents, moves)

	now := []int{s.PID(devtest.Worker), s.PID(devtest.API)}
	require.Equal(t, processes, now)
	require.Positive(t, f.answers.of("503"), "the primary was missed")
	require.Zero(t, f.answers.of("500"))
	require.Zero(t, f.answers.of("no answer"))
}

// of is how often a name was counted.
func (c *tally) of(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[name]
}

// replace takes the primary away after a number of moves.
func (c *cluster) replace(ctx context.Context, t *testing.T, f *fleet, made *tally, after int) error {
	const pause = 20 * time.Millisecond
	if err := until(ctx, pause, func() (bool, error) { return made.total() >= after, nil }); err != nil {
		return err
	}
	begun := time.Now()
	c.primary.Stop()
	if err := c.bouncer.Lead(c.standby); err != nil {
		return err
	}
	// From here on transactions begin, and each that writes fails with 25006.
	missed := f.answers.of("503")
	if err := until(ctx, pause, func() (bool, error) { return f.answers.of("503") > missed+5, nil }); err != nil {
		return err
	}
	promoting := time.Now()
	if err := c.standby.Promote(ctx); err != nil {
		return err
	}
	promoted := time.Now()
	then := made.total()
	if err := until(ctx, pause, func() (bool, error) { return made.total() > then, nil }); err != nil {
		return err
	}
	t.Logf("the primary was away for %s; promoting took %s; the next move was made %s later",
		promoted.Sub(begun).Round(time.Millisecond), promoted.Sub(promoting).Round(time.Millisecond),
		time.Since(promoted).Round(time.Millisecond))
	return nil
}
