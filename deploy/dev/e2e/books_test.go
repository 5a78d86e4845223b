package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/devtest"
	simclient "spotkeeper/internal/ec2sim/client"
)

// books are Postgres, read by an auditor.
type books struct{ pool *pgxpool.Pool }

func openBooks(t *testing.T, s *devtest.Stack) *books {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), s.DatabaseURL)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return &books{pool}
}

// list returns the first column of the rows.
func (b *books) list(ctx context.Context, sql string, args ...any) ([]string, error) {
	rows, err := b.pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// unsettled names what is still going on: a retiring replica, an undecided
// notice, an open switch, an operation that is not a standby's, an old instance that is
// ours to end. Attempts to launch are for unanswered.
func (b *books) unsettled(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	found, err := b.list(ctx, `
		SELECT 'replica ' || id || ' of ' || agent_id || ' is ' || state
		FROM replicas
		WHERE state IN ('requested', 'launching', 'running', 'retiring')
		UNION ALL SELECT kind || ' of ' || instance_id || ' is undecided' FROM notices WHERE result = ''
		UNION ALL SELECT 'command ' || id || ' is pending' FROM commands WHERE status = 'pending'
		UNION ALL
		SELECT 'instance ' || i.id || ' is to be ended by us since ' || i.retiring_since || ', ' ||
			coalesce(c.operation_id || ' ' || coalesce(o.state || ' ' || o.phase, 'never began'), 'nobody knows why')
			FROM instances i
			LEFT JOIN role_changes c ON c.agent_id = i.agent_id AND c.old_id = i.id
			LEFT JOIN operations o ON o.id = c.operation_id
			WHERE i.role = 'retiring' AND i.terminate_by = 'us'
		UNION ALL SELECT 'operation ' || id || ' runs: ' || phase FROM operations o WHERE state = 'running'
			AND NOT EXISTS (SELECT 1 FROM replicas r WHERE r.state = 'ready' AND o.id = 'replica/' || r.id)
		UNION ALL SELECT 'agent ' || id || ' lacks its standby' FROM agents a WHERE keeping = 'manual'
			AND NOT EXISTS (SELECT 1 FROM replicas r WHERE r.agent_id = a.id AND r.state = 'ready')
		LIMIT 50`)
	if err != nil {
		return []string{err.Error()}
	}
	return found
}

// unsettled shows what is unsettled when it is printed, and not before.
type unsettled struct{ *books }

func (u unsettled) String() string { return fmt.Sprint(u.unsettled(context.Background())) }

// unanswered names the attempts to launch whose answer was lost and that the sweep of orphans
// has not seen to: they are open, or what they made runs.
func (b *books) unanswered(ctx context.Context, f *fleet) ([]string, error) {
	open, err := b.list(ctx, `SELECT client_token FROM launches WHERE state = 'requested'`)
	if err != nil {
		return nil, err
	}
	closed, err := b.list(ctx, `SELECT client_token FROM launches WHERE error_code = 'launch.abandoned'`)
	if err != nil || len(closed) == 0 {
		return open, err
	}
	cloud, err := f.sim.State(ctx)
	if err != nil {
		return nil, err
	}
	for _, i := range cloud.Instances {
		if lives(i) && slices.Contains(closed, i.ClientToken) {
			open = append(open, i.ClientToken)
		}
	}
	return open, nil
}

func lives(i simclient.InstanceInfo) bool { return i.State == "pending" || i.State == "running" }

// audit compares what was decided with what there is.
func (b *books) audit(t *testing.T, f *fleet, agents, moves int) {
	t.Helper()
	ctx := deadline(t, time.Minute)
	cloud, err := f.sim.State(ctx)
	require.NoError(t, err)
	list := func(sql string, args ...any) []string {
		found, err := b.list(ctx, sql, args...)
		require.NoError(t, err)
		return found
	}

	// Every agent has one primary, which runs.
	primaries := list(`SELECT id FROM instances WHERE role = 'primary'`)
	require.Len(t, primaries, agents)
	require.Empty(
		t,
		list(
			`
				SELECT a.id
				FROM agents a
				WHERE 1 <> (SELECT count(*) FROM instances i WHERE i.agent_id = a.id AND i.role = 'primary')`,
		),
	)
	needed := map[string]string{}
	for _, id := range primaries {
		needed[id] = "primary"
	}
	for _, id := range list(`SELECT instance_id FROM replicas WHERE state = 'ready'`) {
		require.Empty(t, needed[id], "instance %s plays two parts", id)
		needed[id] = "standby"
	}

	// What we launched is needed or has ended, and what is needed runs.
	ours := map[string]string{} // by client token
	var stray []simclient.InstanceInfo
	for _, i := range cloud.Instances {
		living := lives(i)
		if i.ClientToken != "" && i.Tags["spotkeeper:replica"] != "" {
			require.Empty(t, ours[i.ClientToken], "one decision launched twice")
			ours[i.ClientToken] = i.InstanceID
			if living && needed[i.InstanceID] == "" && i.InterruptionTime.IsZero() { // else AWS takes it
				stray = append(stray, i)
			}
		}
		if living {
			delete(needed, i.InstanceID)
		}
	}
	require.Empty(t, stray, "instances run that no agent needs")
	require.Empty(t, needed, "instances are needed that do not run")

	// Launched is what was decided, once each.
	decided := map[string]string{}
	rows, err := b.pool.Query(ctx, `
		SELECT client_token, instance_id
		FROM launches
		WHERE state = 'launched' OR error_code = 'launch.abandoned' AND instance_id IS NOT NULL`)
	require.NoError(t, err)
	var token, instance string
	_, err = pgx.ForEachRow(rows, []any{&token, &instance}, func() error { decided[token] = instance; return nil })
	require.NoError(t, err)
	require.Equal(t, decided, ours)

	// Each change of roles is an epoch, and each move was one.
	require.Empty(
		t,
		list(
			`SELECT a.id FROM agents a WHERE a.epoch <> (SELECT count(*) FROM role_changes c WHERE c.agent_id = a.id)`,
		),
	)
	changes := list(`SELECT cause || ' ' || count(*) FROM role_changes GROUP BY cause ORDER BY cause`)
	require.Len(t, list(`SELECT agent_id FROM role_changes`), moves, "%v", changes)
	require.Empty(t,
		list(`SELECT id FROM replicas WHERE state NOT IN ('promoted', 'retired', 'failed') AND instance_id IS NULL`))
	t.Logf("%d primaries; role changes: %v; %d launches decided and made; notices: %v; replicas: %v", len(primaries),
		changes, len(decided),
		list(`SELECT kind || ' ' || result || ' ' || count(*) FROM notices GROUP BY kind, result ORDER BY 1`),
		list(`SELECT kind || ' ' || state || ' ' || count(*) FROM replicas GROUP BY kind, state ORDER BY 1`))
}
