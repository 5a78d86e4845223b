package e2e

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/devtest"
	"spotkeeper/internal/testkit/pgserver"
	"spotkeeper/internal/testkit/scratch"
)

// TestTemporalIsRestored to a moment in the past while agents move: what it has forgotten
// is begun again from the rows, and what it does again finds its rows ended. In the end
// nothing is lost and nothing was done twice.
func TestTemporalIsRestored(t *testing.T) {
	t.Parallel()
	const agents, moves = 10, 20
	s := devtest.Start(t, devtest.Options{})
	ctx := deadline(t, 14*time.Minute)
	f := newFleet(t, s, newTenant(t, s))
	members := joinAll(ctx, t, f, agents)
	made := &tally{counts: map[string]int{}}
	restored := make(chan error, 1)
	go func() { restored <- restoreTemporal(ctx, s, made, moves/4, moves/2) }()
	require.NoError(t, travelAll(ctx, members, moves, made))
	require.NoError(t, <-restored)
	settleAndAudit(ctx, t, f, 10*time.Minute, agents, moves)
}

// restoreTemporal saves its state after a number of moves, and puts it back some moves later.
func restoreTemporal(ctx context.Context, s *devtest.Stack, made *tally, save, put int) error {
	after := func(n int) error {
		return until(ctx, 20*time.Millisecond, func() (bool, error) { return made.total() >= n, nil })
	}
	if err := after(save); err != nil {
		return err
	}
	back, err := s.SaveTemporal(ctx)
	if err != nil {
		return err
	}
	if err := after(put); err != nil {
		return err
	}
	return back(ctx)
}

// TestPostgresIsRestored to a moment in the past, from a base backup that was taken while
// agents moved: Temporal and EC2 are ahead of it. Workflows whose rows are gone end, open
// rows have their workflows again, and each agent comes to a primary that runs.
func TestPostgresIsRestored(t *testing.T) {
	t.Parallel()
	const agents = 5
	devtest.Build(t)
	ctx := deadline(t, 10*time.Minute)
	dir := func() string {
		d, err := scratch.InMemory("spotkeeper-restore-", 1<<30)
		require.NoError(t, err)
		t.Cleanup(d.Remove)
		return d.Path
	}
	database, err := pgserver.Start(ctx, dir())
	require.NoError(t, err)
	t.Cleanup(database.Stop)
	execute(ctx, t, database.URL("postgres"), `CREATE DATABASE spotkeeper`)
	s := devtest.Start(t, devtest.Options{
		Without:     []string{devtest.Postgres, devtest.Worker, devtest.API},
		Environment: map[string]string{"DATABASE_URL": database.URL("spotkeeper")},
	})
	s.DatabaseURL = database.URL("spotkeeper")
	require.NoError(t, s.Migrate(ctx))
	for _, part := range []string{devtest.Worker, devtest.API} {
		require.NoError(t, s.Restart(ctx, part))
	}
	f := newFleet(t, s, newTenant(t, s))
	members := joinAll(ctx, t, f, agents)
	made := &tally{counts: map[string]int{}}

	// The backup is taken during the first round of moves.
	backup, copied := dir(), make(chan error, 1)
	go func() { copied <- database.Copy(ctx, backup) }()
	require.NoError(t, travelAll(ctx, members, agents, made))
	require.NoError(t, <-copied)
	require.NoError(t, travelAll(ctx, members, agents, made))

	// As the runbook says.
	for _, part := range []string{devtest.API, devtest.Worker} {
		require.NoError(t, s.Stop(ctx, part))
	}
	require.NoError(t, database.Restore(ctx, backup))
	require.NoError(t, s.Migrate(ctx))
	for _, part := range []string{devtest.Worker, devtest.API} {
		require.NoError(t, s.Restart(ctx, part))
	}
	begun, db := time.Now(), openBooks(t, s)
	status, err := s.Call(ctx, http.MethodPost, "/api/admin/schedules/primary-watch/trigger", s.FirstOperator(), nil, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusAccepted, status)
	require.Eventually(t, func() bool { return len(db.adrift(ctx, f)) == 0 }, 6*time.Minute, time.Second, "%v",
		adrift{db, f})
	t.Logf("each agent has a primary that runs %s after the restore", time.Since(begun).Round(time.Second))

	// The agents move as before.
	for _, m := range members {
		now, err := m.state(ctx)
		require.NoError(t, err)
		require.NoError(t, m.outOfTheBlue(ctx, now))
		after, err := m.awaitMove(ctx, now.Primary.ID)
		require.NoError(t, err)
		require.NoError(t, m.register(ctx, after.Primary.ID, after.Primary.AZ))
	}
}

// adrift lists the agents without exactly one primary that runs at EC2.
func (b *books) adrift(ctx context.Context, f *fleet) []string {
	cloud, err := f.sim.State(ctx)
	if err != nil {
		return []string{err.Error()}
	}
	var living []string
	for _, i := range cloud.Instances {
		if i.State == "running" && i.InterruptionTime.IsZero() {
			living = append(living, i.InstanceID)
		}
	}
	found, err := b.list(ctx, `
		SELECT logical_agent_id
		FROM agents a
		WHERE 1 <> (SELECT count(*) FROM instances i WHERE i.agent_id = a.id AND i.role = 'primary' AND i.id = ANY($1))`,
		living)
	if err != nil {
		return []string{err.Error()}
	}
	return found
}

type adrift struct {
	*books
	f *fleet
}

func (h adrift) String() string { return fmt.Sprint(h.adrift(context.Background(), h.f)) }
