package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/postgres/views"
	"spotkeeper/internal/testkit/postgrestest"
)

// fleet is two tenants: c1 with three agents (one offline, one deleted), replicas
// in all states, switches, prices and notices; c2 with one agent.
const fleet = `
INSERT INTO clients (id, name, email, token_hash, token_sealed, total_savings, created_at) VALUES
	('c1', 'Acme', 'a@x', '\x01', '\x01', 12.5, now() - interval '2 days'),
	('c2', 'Beta', 'b@x', '\x02', '\x02', 1, now());
INSERT INTO agents (id, client_id, logical_agent_id, hostname, status, last_heartbeat_at, launcher, keeping,
    created_at) VALUES
	('a1', 'c1', 'web-1', 'h1', 'online', now() - interval '10 seconds', 'control-plane', 'auto', now()),
	('a2', 'c1', 'web-2', '', 'offline', now() - interval '1 hour', 'agent', 'manual', now()),
	('a3', 'c1', 'web-3', 'h3', 'deleted', now() - interval '2 hours', 'control-plane', 'off', now()),
	('b1', 'c2', 'web-1', 'hb', 'online', NULL, 'control-plane', 'auto', now());
INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode, spot_price,
    ondemand_price, installed_at, created_at) VALUES
	('i-1', 'c1', 'a1', 'primary', 't3.medium', 'us-east-1', 'us-east-1a', 't3.medium.us-east-1a', 'spot', 0.0125,
	0.0416, now() - interval '5 hours', now() - interval '5 hours'),
	('i-0', 'c1', 'a1', 'retired', 't3.medium', 'us-east-1', 'us-east-1b', 't3.medium.us-east-1b', 'spot', NULL, NULL,
	now() - interval '9 hours', now() - interval '9 hours'),
	('i-r', 'c1', 'a1', 'replica', 't3.medium', 'us-east-1', 'us-east-1c', 't3.medium.us-east-1c', 'spot', NULL, NULL,
	now(), now()),
	('i-2', 'c1', 'a2', 'primary', 't3.medium', 'us-east-1', 'us-east-1b', 't3.medium.us-east-1b', 'ondemand', NULL,
	0.0416, now(), now() - interval '1 hour'),
	('i-b', 'c2', 'b1', 'primary', 'm5.large', 'us-east-1', 'us-east-1a', 'm5.large.us-east-1a', 'spot', NULL, NULL,
	now(), now());
INSERT INTO pools (id, instance_type, region, az)
SELECT 't3.medium.us-east-1' || z, 't3.medium', 'us-east-1', 'us-east-1' || z
FROM unnest(ARRAY['a', 'b', 'c']) z;
INSERT INTO pools (id, instance_type, region, az) VALUES ('t3.large.us-east-1a', 't3.large', 'us-east-1', 'us-east-1a');
INSERT INTO replicas (id, client_id, agent_id, kind, made_for, state, launcher, plan, pool_id, instance_id, hourly_cost,
    created_at, launched_at, tags, promoted_at) VALUES
	('r-ready', 'c1', 'a1', 'rebalance', 'i-1', 'ready', 'control-plane', '{}', 't3.medium.us-east-1c', 'i-r', 0.01,
	now() - interval '2 hours', now() - interval '2 hours', '{"k":"v"}', NULL),
	('r-primary', 'c1', 'a1', 'termination', 'i-0', 'promoted', 'control-plane', '{}', 't3.medium.us-east-1a', 'i-1',
	NULL, now() - interval '5 hours', NULL, '{}', now() - interval '4 hours'),
	('r-past', 'c1', 'a1', 'manual', 'i-00', 'promoted', 'control-plane', '{}', 't3.medium.us-east-1b', 'i-0', NULL,
	now() - interval '9 hours', NULL, '{}', now() - interval '8 hours'),
	('r-dead', 'c1', 'a1', 'manual', 'i-1', 'retired', 'control-plane', '{}', NULL, NULL, NULL,
	now() - interval '3 hours', NULL, '{}', NULL),
	('r-todo', 'c1', 'a2', 'manual', 'i-2', 'requested', 'agent', '{"pool": "t3.medium.us-east-1c", "mode": "spot"}',
	NULL, NULL, NULL, now(), NULL, '{}', NULL),
	('r-none', 'c1', 'a2', 'rebalance', 'i-2', 'requested', 'agent', '{"mode": "spot"}', NULL, NULL, NULL, now(), NULL,
	'{}', NULL),
	('r-ours', 'c2', 'b1', 'manual', 'i-b', 'launching', 'control-plane', '{}', 'm5.large.us-east-1b', NULL, NULL,
	now(), NULL, '{}', NULL);
INSERT INTO switches (id, client_id, agent_id, trigger, phase, old_id, new_id, from_mode, to_mode, from_pool, to_pool,
    on_demand, new_spot, savings_impact, initiated_at, launched_at) VALUES
	('s1', 'c1', 'a1', 'manual', 'done', 'i-0', 'i-1', 'spot', 'spot', 't3.medium.us-east-1b', 't3.medium.us-east-1a',
	0.0416, 0.0125, 0.002, now() - interval '4 hours', now() - interval '4 hours'),
	('s2', 'c1', 'a1', 'model', 'done', 'i-9', 'i-1', 'ondemand', 'ondemand', NULL, NULL, 0.0416, NULL, NULL,
	now() - interval '20 days', NULL),
	('s3', 'c1', 'a1', 'model', 'abandoned', 'i-1', '', 'spot', 'spot', NULL, NULL, NULL, NULL, NULL, now(), NULL);
INSERT INTO pool_prices (pool_id, instance_type, region, az, price, source_type, observed_at, updated_at) VALUES
	('t3.medium.us-east-1a', 't3.medium', 'us-east-1', 'us-east-1a', 0.0125, 'collector', now(), now()),
	('t3.medium.us-east-1b', 't3.medium', 'us-east-1', 'us-east-1b', 0.0110, 'collector', now(), now()),
	('t3.medium.us-east-1c', 't3.medium', 'us-east-1', 'us-east-1c', 0.0100, 'collector', now() - interval '2 hours',
	now() - interval '2 hours');
INSERT INTO price_submissions (submission_id, bucket, pool_id, instance_type, region, az, price, ondemand_price,
    source_type, client_id, agent_id, observed_at, received_at)
	SELECT 'p' || n, now(), 't3.medium.us-east-1' || z, 't3.medium', 'us-east-1', 'us-east-1' || z, 0.01 + n * 0.001,
		0.0416, 'primary', 'c1', 'a1',
	now() - n * interval '4 minutes', now() - n * interval '4 minutes'
	FROM generate_series(1, 8) n, unnest(ARRAY['a', 'b']) z;
INSERT INTO agent_reports (agent_id, at, on_demand, spot)
	SELECT 'a1', array_agg(now() - n * interval '4 minutes' ORDER BY n), array_agg(41600 ORDER BY n),
		array_agg(10000 + n * 1000 ORDER BY n)
	FROM generate_series(1, 8) n;
INSERT INTO decisions (client_id, agent_id, action, current_mode, risk_score, expected_savings, engine, engine_version,
    created_at, shadow)
	SELECT 'c1', 'a1', 'stay_spot', 'spot', 0.3, n, 'rules', '1', now() - (10 - n) * interval '1 minute', n = 7
	FROM generate_series(1, 7) n;
INSERT INTO agent_decisions (agent_id, at, actions, modes, risks, savings)
	SELECT agent_id, array_agg(created_at ORDER BY id DESC), array_agg(action ORDER BY id DESC),
		array_agg(current_mode ORDER BY id DESC),
		array_agg(risk_score ORDER BY id DESC), array_agg(expected_savings ORDER BY id DESC)
	FROM (SELECT * FROM decisions WHERE NOT shadow ORDER BY id DESC LIMIT 5) d
	GROUP BY agent_id;
INSERT INTO events (client_id, agent_id, type, severity, message)
VALUES ('c1', 'a1', 'agent_registered', 'info', 'hello'), ('c1', 'a1', 'boom', 'error', 'hidden');
`

func fleetOf(t *testing.T) (*pg.DB, *views.Views) {
	t.Helper()
	db := postgrestest.Open(t)
	_, err := db.Pool.Exec(t.Context(), fleet)
	require.NoError(t, err)
	return db, &views.Views{DB: db}
}

func ids[T any](list []T, id func(T) string) []string {
	out := []string{}
	for _, x := range list {
		out = append(out, id(x))
	}
	return out
}

func replicaIDs(list []views.ReplicaView) []string {
	return ids(list, func(r views.ReplicaView) string { return r.ID })
}

func TestReplicaViews(t *testing.T) {
	t.Parallel()
	_, v := fleetOf(t)
	ctx := t.Context()

	active, err := v.AgentReplicas(ctx, "c1", "a1", false, pg.Page{})
	require.NoError(t, err)
	require.Equal(t, []string{"r-ready", "r-primary"}, replicaIDs(active),
		"a promoted one stays while it is the primary")
	require.Equal(t, "us-east-1c", *active[0].AZ)
	require.Equal(t, "i-1", active[0].PrimaryID)
	require.InDelta(t, 0.02, active[0].TotalCost, 0.001)
	require.Equal(t, map[string]string{"k": "v"}, active[0].Tags)
	require.InDelta(t, 7200, active[0].AgeSeconds, 60)

	all, err := v.AgentReplicas(ctx, "", "a1", true, pg.Page{})
	require.NoError(t, err)
	require.Equal(t, []string{"r-ready", "r-dead", "r-primary", "r-past"}, replicaIDs(all))

	foreign, err := v.AgentReplicas(ctx, "c2", "a1", true, pg.Page{})
	require.NoError(t, err)
	require.NotNil(t, foreign)
	require.Empty(t, foreign)

	replicas, err := v.ClientReplicas(ctx, "c1", pg.Page{})
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"r-ready", "r-todo", "r-none"}, replicaIDs(replicas))

	one, err := v.Replica(ctx, "c1", "a1", "r-ready")
	require.NoError(t, err)
	require.Equal(t, replica.Ready, one.State)
	for _, who := range [][3]string{{"c2", "a1", "r-ready"}, {"c1", "a2", "r-ready"}, {"c1", "a1", "nope"}} {
		_, err = v.Replica(ctx, who[0], who[1], who[2])
		requireCode(t, err, replica.NotFound)
	}
}

// TestReplicasToLaunch: an agent is never ordered to launch what the control plane
// launches, nor what it launched already, nor what no request waits for.
func TestReplicasToLaunch(t *testing.T) {
	t.Parallel()
	db, v := fleetOf(t)
	ctx := t.Context()

	todo, err := v.ReplicasToLaunch(ctx, "c1", "a2")
	require.NoError(t, err)
	require.Empty(t, todo, "no workflow would hear of what is launched")
	_, err = db.Pool.Exec(ctx, `UPDATE replicas SET created_at = now() - interval '2 minutes' WHERE id = 'r-todo'`)
	require.NoError(t, err)
	todo, err = v.ReplicasToLaunch(ctx, "c1", "a2")
	require.NoError(t, err)
	require.Len(t, todo, 1, "its page was only not written")
	_, err = db.Pool.Exec(ctx, `UPDATE replicas SET created_at = now() WHERE id = 'r-todo';
		INSERT INTO operations (id, kind, client_id, agent_id) VALUES ('replica/r-todo', 'replica', 'c1', 'a2')`)
	require.NoError(t, err)
	todo, err = v.ReplicasToLaunch(ctx, "c1", "a2")
	require.NoError(t, err)
	require.Len(t, todo, 1, "the one without a pool is not ready to be launched")
	require.Equal(t, "r-todo", todo[0].ID)
	require.Equal(t, "t3.medium.us-east-1c", todo[0].PoolID)
	require.Equal(t, "us-east-1c", todo[0].AZ)

	for agentID, clientID := range map[string]string{"b1": "c2", "a1": "c1", "a2": "c2"} {
		todo, err = v.ReplicasToLaunch(ctx, clientID, agentID)
		require.NoError(t, err)
		require.Empty(t, todo)
	}
	for _, change := range []string{
		`UPDATE replicas SET not_before = now() + interval '1 hour' WHERE id = 'r-todo'`,
		`UPDATE replicas SET not_before = NULL, instance_id = 'i-new' WHERE id = 'r-todo'`,
		`UPDATE replicas SET instance_id = NULL, state = 'failed' WHERE id = 'r-todo'`,
	} {
		_, err = db.Pool.Exec(ctx, change)
		require.NoError(t, err)
		todo, err = v.ReplicasToLaunch(ctx, "c1", "a2")
		require.NoError(t, err)
		require.Empty(t, todo, change)
	}
}

func TestClientAndAgentViews(t *testing.T) {
	t.Parallel()
	_, v := fleetOf(t)
	ctx := t.Context()

	tenants, err := v.Clients(ctx, pg.Page{Limit: 10})
	require.NoError(t, err)
	require.Equal(t, []string{"c2", "c1"}, ids(tenants, func(c views.ClientView) string { return c.ID }))
	acme, err := v.Client(ctx, "c1")
	require.NoError(t, err)
	require.Equal(t, tenants[1], *acme)
	require.Equal(t, []any{1, 2, 3, 12.5},
		[]any{acme.AgentsOnline, acme.AgentsTotal, acme.Instances, acme.TotalSavings})
	for _, id := range []string{"", "nope"} {
		_, err = v.Client(ctx, id)
		requireCode(t, err, clients.NotFound)
	}

	stats, err := v.FleetStats(ctx)
	require.NoError(t, err)
	require.Equal(t, views.FleetStats{
		TotalAccounts:  2,
		AgentsOnline:   2,
		AgentsTotal:    3,
		PoolsCovered:   4,
		TotalSwitches:  2,
		ManualSwitches: 1,
		ModelSwitches:  1,
		TotalSavings:   13.5,
	}, *stats, "each client's savings count once, whatever the number of its agents")

	agentIDs := func(list []views.AgentView) []string {
		return ids(list, func(a views.AgentView) string { return a.ID })
	}
	agents, err := v.ClientAgents(ctx, "c1", pg.Page{})
	require.NoError(t, err)
	require.Equal(t, []string{"a1", "a2"}, ids(agents, func(a views.ClientAgent) string { return a.ID }))
	require.Equal(t, views.PrimaryPlace{
		ID:           "i-1",
		InstanceType: "t3.medium",
		Region:       "us-east-1",
		AZ:           "us-east-1a",
		Mode:         "spot",
		PoolID:       "t3.medium.us-east-1a",
	}, *agents[0].Primary)
	require.Equal(t, 2, agents[0].InstanceCount)
	paged, err := v.ClientAgents(ctx, "c1", pg.Page{Limit: 10})
	require.NoError(t, err)
	require.Equal(t, agents, paged, "whole or in pages, an agent is the same")
	history, err := v.AgentHistory(ctx, "c1", pg.Page{})
	require.NoError(t, err)
	require.Equal(t, []string{"a1", "a2", "a3"}, agentIDs(history))
	all, err := v.AllAgents(ctx, "online", pg.Page{}, 10)
	require.NoError(t, err)
	require.Equal(t, []string{"a1", "b1"}, agentIDs(all))

	one, err := v.Agent(ctx, "", "a1")
	require.NoError(t, err)
	require.Equal(t, history[0], *one)
	for _, who := range [][2]string{{"c2", "a1"}, {"", "nope"}} {
		_, err = v.Agent(ctx, who[0], who[1])
		requireCode(t, err, agent.NotFound)
	}

	activity, err := v.Activity(ctx, pg.Page{Limit: 50})
	require.NoError(t, err)
	require.Len(t, activity, 1, "errors are not for this list")
}

func TestInstanceAndSwitchViews(t *testing.T) {
	t.Parallel()
	_, v := fleetOf(t)
	ctx := t.Context()
	list := func(f views.InstanceFilter) []string {
		f.Page.Limit = 100
		found, err := v.Instances(ctx, f)
		require.NoError(t, err)
		return ids(found, func(i views.InstanceView) string { return i.ID })
	}
	require.ElementsMatch(t, []string{"i-1", "i-0", "i-r", "i-2", "i-b"}, list(views.InstanceFilter{}))
	require.Equal(t, []string{"i-0"}, list(views.InstanceFilter{ClientID: "c1", Status: "terminated"}))
	require.Equal(t, []string{"i-2"}, list(views.InstanceFilter{ClientID: "c1", Status: "active", Mode: "ondemand"}))
	require.Equal(t, []string{"i-b"}, list(views.InstanceFilter{Search: "M5"}))
	require.Empty(t, list(views.InstanceFilter{Search: "%"}), "a percent sign means itself")

	m, err := v.InstanceMetrics(ctx, "c1", "i-1")
	require.NoError(t, err)
	require.Equal(t, []int{5, 4, 2, 1, 2},
		[]int{m.UptimeHours, m.SinceSwitchHours, m.Switches, m.Switches7, m.Switches30})
	require.InDelta(t, 0.048, m.Savings, 1e-9)
	_, err = v.InstanceMetrics(ctx, "c2", "i-1")
	requireCode(t, err, views.InstanceNotFound)
	place, err := v.InstancePlace(ctx, "", "i-1")
	require.NoError(t, err)
	require.Equal(t, "a1", *place.AgentID)
	_, err = v.InstancePlace(ctx, "c2", "i-1")
	requireCode(t, err, views.InstanceNotFound)

	switches, err := v.SwitchHistory(ctx, "c1", "", pg.Page{Limit: 100})
	require.NoError(t, err)
	require.Equal(t, []string{"s1", "s2"}, ids(switches, func(s views.SwitchView) string { return s.ID }))
	require.InDelta(t, 0.0125, switches[0].Price, 1e-9)
	require.InDelta(t, 0.0416, switches[1].Price, 1e-9)
	modes, err := v.ModeDistribution(ctx, "c1")
	require.NoError(t, err)
	require.Equal(t, []views.NamedCount{{Name: "ondemand", N: 1}, {Name: "spot", N: 2}}, modes)
	days, err := v.SwitchFrequency(ctx, "c1")
	require.NoError(t, err)
	require.Len(t, days, 2)
}

func TestDecisionView(t *testing.T) {
	t.Parallel()
	_, v := fleetOf(t)

	list, err := v.AgentDecisions(t.Context(), "c1", pg.Page{})
	require.NoError(t, err)
	require.Equal(t, []string{"a1", "a2"}, ids(list, func(a views.AgentDecisions) string { return a.AgentID }))
	a := list[0]
	require.Len(t, a.Decisions, 5)
	require.InDelta(t, 6, a.Decisions[0].ExpectedSavings, 1e-9, "a shadow's decision is not shown")
	require.WithinDuration(t, time.Now().Add(-4*time.Minute), a.Decisions[0].At, time.Minute)
	require.Len(t, a.Reports, 5)
	require.InDelta(t, 0.011, a.Reports[0].Spot, 1e-9)
	require.InDelta(t, 0.0416, a.Reports[0].OnDemand, 1e-9)
	require.Equal(t, 2, a.ReportCount, "of the last ten minutes")
	require.Equal(t, []string{"spot", "t3.medium.us-east-1a"}, []string{a.CurrentMode, a.CurrentPool})
	paged, err := v.AgentDecisions(t.Context(), "c1", pg.Page{Limit: 1})
	require.NoError(t, err)
	pagedIDs := ids(paged, func(a views.AgentDecisions) string { return a.AgentID })
	require.Equal(t, []string{"a1", "a2"}, pagedIDs, "one more says that there are more")
	require.Equal(t, a.Decisions[0].At, paged[0].Decisions[0].At)
	require.Len(t, paged[0].Events, 2)
	require.Len(t, a.Events, 2)
	require.Empty(t, list[1].Decisions)
	require.Equal(t, "web-2", list[1].AgentName)
}
