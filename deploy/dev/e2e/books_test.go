package e2e

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
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

// lostAnswer begins what unsettled says of an attempt to launch whose answer was lost.
const lostAnswer = "launch "

// unsettled names what is still going on: a retiring replica, an undecided
// notice, an open switch, an operation that is not a standby's, an old instance that is
// ours to end. What begins with one of the words in except is left out.
func (b *books) unsettled(ctx context.Context, except ...string) []string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	found, err := b.list(ctx, `
		SELECT 'replica ' || id || ' of ' || agent_id || ' is ' || state
		FROM replicas
		WHERE state IN ('requested', 'launching', 'running', 'retiring')
		UNION ALL SELECT 'launch ' || client_token || ' is open' FROM launches WHERE state = 'requested'
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
	return slices.DeleteFunc(found, func(what string) bool {
		return slices.ContainsFunc(except, func(word string) bool { return strings.HasPrefix(what, word) })
	})
}

// unsettled shows what is unsettled when it is printed, and not before.
type unsettled struct{ *books }

func (u unsettled) String() string { return fmt.Sprint(u.unsettled(context.Background())) }

func lives(i simclient.InstanceInfo) bool { return i.State == "pending" || i.State == "running" }

// strays names the instances that we launched, that run and that no agent needs. One that AWS
// has announced to take is none.
func (b *books) strays(ctx context.Context, f *fleet) ([]string, error) {
	cloud, err := f.sim.State(ctx)
	if err != nil {
		return nil, err
	}
	needed, err := b.list(ctx, `
		SELECT id FROM instances WHERE role = 'primary'
		UNION ALL SELECT instance_id FROM replicas WHERE state = 'ready'`)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, i := range cloud.Instances {
		launched := i.ClientToken != "" && i.Tags["spotkeeper:replica"] != ""
		if launched && lives(i) && i.InterruptionTime.IsZero() && !slices.Contains(needed, i.InstanceID) {
			out = append(out, i.InstanceID)
		}
	}
	return out, nil
}

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
	ours, living := map[string]string{}, map[string]bool{}
	for _, i := range cloud.Instances {
		if i.ClientToken != "" && i.Tags["spotkeeper:replica"] != "" {
			require.Empty(t, ours[i.ClientToken], "one decision launched twice")
			ours[i.ClientToken] = i.InstanceID
		}
		living[i.InstanceID] = lives(i)
	}
	stray, err := b.strays(ctx, f)
	require.NoError(t, err)
	require.Empty(t, stray, "instances run that no agent needs")
	maps.DeleteFunc(needed, func(id, _ string) bool { return living[id] })
	require.Empty(t, needed, "instances are needed that do not run")

	// Launched is what was decided, once each.
	decided := map[string]string{}
	rows, err := b.pool.Query(ctx, `SELECT client_token, instance_id FROM launches WHERE instance_id IS NOT NULL`)
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
