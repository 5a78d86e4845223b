package postgres_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/postgres"
)

func in(zone string, mode agent.Mode) replica.Candidate {
	return replica.Candidate{
		PoolID:       "t3.medium." + zone,
		InstanceType: "t3.medium",
		Region:       "us-east-1",
		AZ:           zone,
		Mode:         mode,
	}
}

func TestFreezeLaunch(t *testing.T) {
	t.Parallel()

	g := guard(t)
	s := &postgres.Launches{DB: g.db}
	r := g.open(replica.Manual, "i-0")
	none, err := s.FrozenLaunch(t.Context(), r.ID, in("us-east-1b", agent.Spot))
	require.NoError(t, err)
	require.Nil(t, none)
	for _, ask := range []string{`{"ami": "ami-1"}`, `{"ami": "ami-2"}`} {
		got, err := s.FreezeLaunch(t.Context(), r.ID, in("us-east-1b", agent.Spot),
			activities.FrozenLaunch{Token: "t-b", Request: json.RawMessage(ask)})
		require.NoError(t, err)
		require.JSONEq(t, `{"ami": "ami-1"}`, string(got.Request), "the first request stands")
		require.Equal(t, lines("t-b", "requested"), lines(got.Token, got.State))
	}
	_, err = s.FreezeLaunch(t.Context(), r.ID, in("us-east-1b", agent.OnDemand), activities.FrozenLaunch{
		Token:   "t-od",
		Request: json.RawMessage(`{}`),
	})
	require.NoError(t, err, "another mode is another attempt")
	_, err = s.FreezeLaunch(t.Context(), "r9", in("us-east-1b", agent.Spot),
		activities.FrozenLaunch{Token: "t9", Request: json.RawMessage(`{}`)})
	require.Equal(t, replica.NotFound, fault.CodeOf(err))

	require.NoError(t, s.EndLaunch(t.Context(), "t-b", activities.LaunchEnd{Code: replica.NoCapacity, Error: "empty"}))
	for range 2 {
		require.NoError(t, s.EndLaunch(t.Context(), "t-b", activities.LaunchEnd{InstanceID: "i-1"}),
			"it launched after all")
	}
	require.Equal(t, replica.AlreadyExists,
		fault.CodeOf(s.EndLaunch(t.Context(), "t-od", activities.LaunchEnd{InstanceID: "i-2"})),
		"one decision, one instance")
	got, err := s.FrozenLaunch(t.Context(), r.ID, in("us-east-1b", agent.Spot))
	require.NoError(t, err)
	require.Equal(t, lines("launched", "i-1"), lines(got.State, got.InstanceID))
	require.NoError(t, s.EndLaunch(t.Context(), "t-b", activities.LaunchEnd{
		Code:  replica.TokenDead,
		Error: "it is gone",
	}))
	require.NoError(t, s.EndLaunch(t.Context(), "t-od", activities.LaunchEnd{InstanceID: "i-2"}),
		"the first one died, so there is room")
	require.Equal(t, "i-1", one[string](g,
		`SELECT instance_id FROM launches WHERE client_token = 't-b' AND state = 'failed'`))
}

func TestLaunchPlace(t *testing.T) {
	t.Parallel()

	g := guard(t)
	s := &postgres.Launches{DB: g.db}
	g.exec(`UPDATE clients SET role_arn = 'arn:role', external_id = 'x1' WHERE id = 'k1'`)
	r := g.open(replica.Manual, "i-0")
	got, err := s.LaunchPlace(t.Context(), r.ID)
	require.NoError(t, err)
	require.Equal(t, &activities.LaunchPlace{
		Account:   activities.Account{ClientID: "k1", RoleARN: "arn:role", ExternalID: "x1"},
		PrimaryID: "i-0",
		Region:    "us-east-1",
		Young:     true,
	}, got)
	g.exec(`UPDATE instances SET installed_at = now() - interval '3 minutes'`)
	got, err = s.LaunchPlace(t.Context(), r.ID)
	require.NoError(t, err)
	require.False(t, got.Young)
	g.advance(r.ID, replica.Retiring, "")
	_, err = s.LaunchPlace(t.Context(), r.ID)
	require.Equal(t, replica.AlreadyEnded, fault.CodeOf(err), "nothing is launched for a replica that was given up")
	_, err = s.LaunchPlace(t.Context(), "r9")
	require.Equal(t, replica.NotFound, fault.CodeOf(err))

	none, err := s.Template(t.Context(), "a1")
	require.NoError(t, err)
	require.Nil(t, none)
	for _, v := range []string{`{"v": 1}`, `{"v": 2}`} {
		require.NoError(t, s.KeepTemplate(t.Context(), "a1", "i-0", json.RawMessage(v)))
	}
	template, err := s.Template(t.Context(), "a1")
	require.NoError(t, err)
	require.JSONEq(t, `{"v": 2}`, string(template))
}

func TestPoolsRestLongerEachTime(t *testing.T) {
	t.Parallel()

	g := guard(t)
	s := &postgres.Launches{DB: g.db}
	report := func(code fault.Code) {
		t.Helper()
		require.NoError(t, s.RecordPool(t.Context(), activities.PoolOutcome{
			AgentID: "a1",
			Where:   in("us-east-1b", agent.Spot),
			Code:    string(code),
		}))
	}
	minutes := func() int {
		return one[int](g,
			`SELECT coalesce(round(extract(epoch FROM max(retry_after) - now()) / 60), 0)::int FROM pool_health`)
	}
	for _, ours := range []fault.Code{replica.QuotaUsedUp, replica.Refused, replica.Throttled, replica.NoAddresses,
		replica.TokenDead} {
		report(ours)
	}
	require.Zero(t, one[int](g, `SELECT count(*) FROM pool_health`), "what is not the pool's fault")
	for _, want := range []int{3, 6, 12, 24, 48, 60, 60} {
		report(replica.NoCapacity)
		report(replica.NoCapacity)
		require.Equal(t, want, minutes(), "told twice, counted once")
		g.exec(`UPDATE pool_health SET retry_after = now() - interval '1 second'`)
	}
	report(replica.NoCapacity)
	report("")
	require.Zero(t, minutes())
	require.Zero(t, one[int](g, `SELECT failures FROM pool_health WHERE last_success_at IS NOT NULL`))
	report(replica.NoCapacity)
	require.Equal(t, 3, minutes(), "a success makes it forgotten")
	report("")
	report(replica.InstanceGone)
	require.Equal(t, 3, minutes(), "its instance was born dead")
}

func TestChoice(t *testing.T) {
	t.Parallel()

	g := guard(t)
	s := &postgres.Launches{DB: g.db}
	g.exec(
		`
		INSERT INTO pools (id, instance_type, region, az, is_active)
		VALUES ('t3.medium.us-east-1a', 't3.medium', 'us-east-1', 'us-east-1a', true),
		('t3.medium.us-east-1b', 't3.medium', 'us-east-1', 'us-east-1b', true),
		('t3.large.us-east-1b', 't3.large', 'us-east-1', 'us-east-1b', true),
		('t3.medium.us-east-1c', 't3.medium', 'us-east-1', 'us-east-1c', false),
		('t3.medium.us-west-2a', 't3.medium', 'us-west-2', 'us-west-2a', true),
		('m5.large.us-east-1b', 'm5.large', 'us-east-1', 'us-east-1b', true)`,
	)
	g.exec(
		`
		INSERT INTO pool_prices (pool_id, instance_type, region, az, price, source_type, observed_at)
		VALUES ('t3.medium.us-east-1b', 't3.medium', 'us-east-1', 'us-east-1b', 0.012, 'collector', now()),
		('t3.large.us-east-1b', 't3.large', 'us-east-1', 'us-east-1b', 0.03, 'collector', now() - interval '3 days')`,
	)
	g.exec(
		`
			INSERT INTO on_demand_prices (region, instance_type, price, source, observed_at)
			VALUES ('us-east-1', 't3.medium', 0.0416, 'pricing-api', now()), ('eu-west-1', 't3.large', 9, 'pricing-api', now())`,
	)
	g.exec(`INSERT INTO interruptions (client_id, instance_id, kind, pool_id, detected_at, proven) VALUES
		('k2', 'x1', 'termination-notice', 't3.medium.us-east-1b', now(), true),
		('k2', 'x2', 'termination-notice', 't3.medium.us-east-1b', now() - interval '8 days', true),
		('k2', 'x3', 'termination-notice', 't3.medium.us-east-1b', now(), false)`)
	require.NoError(t, s.RecordPool(t.Context(), activities.PoolOutcome{
		AgentID: "a1",
		Where:   in("us-east-1a", agent.Spot),
		Code:    string(replica.NoCapacity),
	}))
	opened, err := g.OpenReplica(t.Context(), roles.ReplicaRequest{
		AgentID: "a1",
		Kind:    replica.Termination,
		For:     "i-0",
		Plan:    replica.Plan{Mode: agent.Spot, MaxHourlyCost: 1},
	})
	require.NoError(t, err)
	earlier := g.open(replica.Manual, "i-0")
	g.exec(`
		INSERT INTO launches (client_token, replica_id, client_id, agent_id, pool_id, mode, request, state, error_code, ended_at)
		SELECT v.code || v.ago, $1, 'k1', 'a1', v.code, 'spot', '{}', 'failed', v.code, now() - v.ago::interval
		FROM (VALUES ('launch.refused', '1 minute'), ('launch.throttled', '1 minute'), ('launch.unseen', '50 minutes'),
			('launch.misconfigured', '70 minutes'), ('launch.no_capacity', '1 minute')) AS v (code, ago)`, earlier.ID)
	plan, facts, err := s.Choice(t.Context(), "a1", opened.Replica.ID)
	require.NoError(t, err)
	require.Equal(t, replica.Plan{Mode: agent.Spot, MaxHourlyCost: 1}, plan)
	require.Equal(t, replica.ChoiceFacts{
		Kind:    replica.Termination,
		Primary: replica.Origin{InstanceType: "t3.medium", Region: "us-east-1", AZ: "us-east-1a"},
		Pools: []replica.PoolFacts{{InstanceType: "t3.large", AZ: "us-east-1b"}, {
			InstanceType: "t3.medium",
			AZ:           "us-east-1a",
			Ours:         1,
		},
			{InstanceType: "t3.medium", AZ: "us-east-1b", Price: 0.012, Interruptions: 1}},
		Types:    []replica.TypeFacts{},
		Zones:    []string{},
		Fleet:    1,
		OnDemand: map[string]float64{"t3.medium": 0.0416},
		Resting:  []string{"spot/t3.medium.us-east-1a"},
		Failed:   []string{"spot/launch.refused", "spot/launch.unseen"},
		Blocked:  []string{},
	}, facts)
	_, _, err = s.Choice(t.Context(), "a1", "r9")
	require.Equal(t, replica.NotFound, fault.CodeOf(err))
}

func TestWhereabouts(t *testing.T) {
	t.Parallel()

	g := guard(t)
	s := &postgres.Launches{DB: g.db}
	got, err := s.Whereabouts(t.Context(), "a1", "i-0")
	require.NoError(t, err)
	require.Equal(t, lines("k1", "us-east-1", false), lines(got.Account.ClientID, got.Region, got.Ended))
	require.WithinDuration(t, time.Now(), got.LaunchedAt, time.Minute)
	_, err = s.Whereabouts(t.Context(), "a9", "i-0")
	require.Equal(t, agent.InstanceOfOtherTenant, fault.CodeOf(err))
}
