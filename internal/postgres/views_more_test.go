package postgres_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/postgres/notifications"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/postgres/views"
)

func requireCode(t *testing.T, err error, code fault.Code) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, code, fault.CodeOf(err), "%v", err)
}

func TestPriceViews(t *testing.T) {
	t.Parallel()
	db, v := fleetOf(t)
	ctx := t.Context()

	pools, err := v.PoolsOf(ctx, "t3.medium", "us-east-1")
	require.NoError(t, err)
	require.Equal(t, []string{"t3.medium.us-east-1b", "t3.medium.us-east-1a", "t3.medium.us-east-1c"},
		ids(pools, func(p views.PoolPriceView) string { return p.ID }))
	require.Nil(t, pools[2].Price, "a price of two hours ago is not known any more")
	types, err := v.TypesOf(ctx, "t3", "us-east-1")
	require.NoError(t, err)
	require.Equal(t, []string{"t3.large", "t3.medium"}, types)

	none, err := v.OnDemandPrice(ctx, "t3.medium", "us-east-1")
	require.NoError(t, err)
	require.Zero(t, none)
	_, err = db.Pool.Exec(ctx, `INSERT INTO on_demand_prices VALUES ('us-east-1', 't3.medium', 0.0416, 'pricing-api', now());
		INSERT INTO price_buckets (pool_id, bucket, price, ondemand_price, source_type, confidence, observed_at)
		SELECT 't3.medium.us-east-1a', b, 0.01, 0.0416, 'collector', 1, b
		FROM generate_series(timestamptz '2026-03-01 00:00Z', '2026-03-02 23:55Z', '5 minutes') b`)
	require.NoError(t, err)
	known, err := v.OnDemandPrice(ctx, "t3.medium", "us-east-1")
	require.NoError(t, err)
	require.InDelta(t, 0.0416, known, 1e-9)

	since := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	hours, err := v.PriceHistory(ctx, "t3.medium", "us-east-1", "hour", since)
	require.NoError(t, err)
	require.Len(t, hours, 1, "of the other pools no price is known")
	require.Len(t, hours[0].At, 36)
	require.True(t, hours[0].At[0].Equal(since), "hours begin at whole hours of UTC, whatever the session's zone: %s",
		hours[0].At[0])
	require.Equal(t, []float64{0.01, 0.0416, 1},
		[]float64{hours[0].Price[0], hours[0].OnDemand[0], hours[0].Measured[0]})
	days, err := v.PriceHistory(ctx, "t3.medium", "us-east-1", "day", since)
	require.NoError(t, err)
	require.Len(t, days[0].At, 2)
	require.True(t, days[0].At[1].Equal(time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)))
	require.Equal(t, []float64{0.01, 0.0416, 1}, []float64{days[0].Price[1], days[0].OnDemand[1], days[0].Measured[1]})

	newest, found, err := v.NewestOnlineAgent(ctx, "c1")
	require.NoError(t, err)
	require.Equal(t, []any{"a1", true}, []any{newest, found})
	_, found, err = v.NewestOnlineAgent(ctx, "nope")
	require.NoError(t, err)
	require.False(t, found)
}

func TestOperationViews(t *testing.T) {
	t.Parallel()
	db, v := fleetOf(t)
	ctx := t.Context()
	_, err := db.Pool.Exec(ctx, `
		INSERT INTO operations (id, kind, client_id, agent_id, started_at)
		SELECT 'switch/' || n, 'switch', 'c1', 'a1', timestamptz '2026-03-01 00:00Z' + (n / 2) * interval '1 minute'
		FROM generate_series(1, 5) n;
		INSERT INTO operations (id, kind, client_id, agent_id, state, ended_at, tend_at)
		VALUES ('termination/b1/i-b', 'termination', 'c2', 'b1', 'succeeded', now(), NULL);
		INSERT INTO operation_steps (operation_id, run_id, seq, name, seconds_left, at)
		VALUES ('switch/1', 'r', 2, 'b', 1.5, now()), ('switch/1', 'r', 1, 'a', NULL, now() - interval '1 s')`)
	require.NoError(t, err)

	// Every page follows the one before, through equal times as well.
	var seen []string
	f := views.OperationFilter{ClientID: "c1", Page: pg.Page{Limit: 2}}
	for {
		page, err := v.Operations(ctx, f)
		require.NoError(t, err)
		n := min(len(page), 2)
		for _, o := range page[:n] {
			seen = append(seen, o.ID)
		}
		if len(page) <= 2 {
			break
		}
		f.Page.After = pg.Cursor{At: page[1].StartedAt, ID: page[1].ID}
	}
	require.Equal(t, "switch/4 switch/5 switch/2 switch/3 switch/1", strings.Join(seen, " "))
	for want, f := range map[int]views.OperationFilter{
		6: {},
		1: {Kind: "termination"},
		5: {State: "running", AgentID: "a1"},
		0: {ClientID: "c2", AgentID: "a1"},
	} {
		f.Page.Limit = 50
		found, err := v.Operations(ctx, f)
		require.NoError(t, err)
		require.Len(t, found, want, "%+v", f)
	}
	one, err := v.Operation(ctx, "c2", "termination/b1/i-b")
	require.NoError(t, err)
	require.Equal(t, "succeeded", one.State)
	_, err = v.Operation(ctx, "c1", "termination/b1/i-b")
	requireCode(t, err, views.UnknownOperation)
	steps, err := v.OperationSteps(ctx, "switch/1")
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, ids(steps, func(s views.StepView) string { return s.Name }))
	require.InDelta(t, 1.5, *steps[1].SecondsLeft, 1e-9)
}

func TestNotificationsAndChanges(t *testing.T) {
	t.Parallel()
	db, _ := fleetOf(t)
	ctx := t.Context()
	n := &notifications.Notifications{DB: db}
	_, err := db.Pool.Exec(
		ctx,
		`
			INSERT INTO notifications (id, client_id, message, created_at)
			VALUES ('n1', 'c1', 'one', now() - interval '1 h'), ('n2', 'c1', 'two', now()), ('n3', 'c2', 'three', now())`,
	)
	require.NoError(t, err)
	idsOf := func(clientID string, limit int) []string {
		list, err := n.Newest(ctx, clientID, pg.Page{Limit: limit})
		require.NoError(t, err)
		return ids(list, func(x notifications.NotificationView) string { return x.ID })
	}
	require.Equal(t, []string{"n2", "n1"}, idsOf("c1", 10))
	require.Len(t, idsOf("", 10), 3)
	require.Equal(t, []string{"n2", "n1"}, idsOf("c1", 1), "one more says that there are more")
	unread := func() (count int) {
		require.NoError(t, db.Pool.QueryRow(ctx, `SELECT count(*) FROM notifications WHERE NOT is_read`).Scan(&count))
		return count
	}
	require.NoError(t, n.MarkRead(ctx, "c2", "n1", "test"))
	require.Equal(t, 3, unread(), "not theirs")
	require.NoError(t, n.MarkRead(ctx, "c1", "n1", "test"))
	require.NoError(t, n.MarkRead(ctx, "c1", "n1", "test"))
	require.Equal(t, 2, unread())
	changed, err := n.MarkAllRead(ctx, "c1", "test")
	require.NoError(t, err)
	require.EqualValues(t, 1, changed)
	_, err = n.MarkAllRead(ctx, "", "test")
	require.NoError(t, err)
	require.Zero(t, unread())

	c := &views.Changes{DB: db}
	since, err := c.Now(ctx)
	require.NoError(t, err)
	_, err = db.Pool.Exec(ctx, `
		INSERT INTO operations (id, kind, client_id, agent_id) VALUES ('switch/1', 'switch', 'c1', 'a1');
		INSERT INTO notices (client_id, agent_id, instance_id, kind, deadline)
		VALUES ('c1', 'a1', 'i-1', 'termination-notice', '2026-03-01 00:00Z');
		INSERT INTO role_changes (client_id, agent_id, epoch, old_id, new_id, replica_id, cause)
		VALUES ('c2', 'b1', 1, 'i-b', 'i-n', 'r-ours', 'termination')`)
	require.NoError(t, err)
	all, err := c.Since(ctx, "", views.Place{At: since}, 10)
	require.NoError(t, err)
	require.Equal(t, []string{"operation", "notice", "roles"},
		ids(all, func(x views.Change) string { return x.Kind }))
	require.Contains(t, string(all[1].Data), `"deadline": "2026-03-01T00:00:00Z"`)
	mine, err := c.Since(ctx, "c2", views.Place{At: since}, 10)
	require.NoError(t, err)
	require.Len(t, mine, 1)
	_, err = db.Pool.Exec(ctx, `UPDATE notices SET result = 'lost', decided_at = clock_timestamp()`)
	require.NoError(t, err)
	later, err := c.Since(ctx, "c1", views.PlaceOf(all[2]), 10)
	require.NoError(t, err)
	require.Len(t, later, 1)
	require.Contains(t, string(later[0].Data), `"result": "lost"`)
}
