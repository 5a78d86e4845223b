package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/decisions"
)

// pausesOf are the scopes that stop an agent, as a decision sees them.
func (g *guarded) pausesOf(agentID string) []engine.Scope {
	g.t.Helper()
	in, err := (&decisions.Decisions{DB: g.db}).Input(g.t.Context(), "", agentID)
	require.NoError(g.t, err)
	var out []engine.Scope
	for _, p := range in.Holds.Pauses {
		out = append(out, p.Scope)
	}
	return out
}

func TestPauses(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.agent("k1", "a2", "i-2")
	g.agent("k2", "b1", "i-b")
	s := &decisions.Pauses{DB: g.db}
	ops := func(scope engine.Scope, clientID, agentID string) decisions.PauseSubject {
		return decisions.PauseSubject{Scope: scope, ClientID: clientID, AgentID: agentID, Operator: true, By: "ops"}
	}
	tenant := func(scope engine.Scope, clientID, agentID string) decisions.PauseSubject {
		return decisions.PauseSubject{Scope: scope, ClientID: clientID, AgentID: agentID, By: "Acme"}
	}
	soon := time.Now().Add(time.Hour).Truncate(time.Second)
	set := func(on decisions.PauseSubject, until time.Time) {
		t.Helper()
		for range 2 { // the second changes nothing and writes no event
			require.NoError(t, s.Set(t.Context(), on, engine.Pause{Until: until, Reason: "maintenance"}))
		}
	}
	lift := func(on decisions.PauseSubject) bool {
		t.Helper()
		lifted, _, err := s.Lift(t.Context(), on)
		require.NoError(t, err)
		return lifted
	}

	set(tenant(engine.ScopeAgent, "k1", "a1"), soon)
	require.Equal(t, []engine.Scope{engine.ScopeAgent}, g.pausesOf("a1"))
	require.Empty(t, g.pausesOf("a2"))
	set(tenant(engine.ScopeClient, "k1", ""), soon.Add(time.Minute))
	set(ops(engine.ScopeClient, "k1", ""), soon.Add(2*time.Minute))
	set(ops(engine.ScopeGlobal, "", ""), soon.Add(3*time.Minute))
	require.Equal(t, []engine.Scope{engine.ScopeGlobal, engine.ScopeClient, engine.ScopeClient, engine.ScopeAgent},
		g.pausesOf("a1"))
	require.Equal(t, []engine.Scope{engine.ScopeGlobal}, g.pausesOf("b1"), "another tenant's")
	theirs, err := s.List(t.Context(), "k2")
	require.NoError(t, err)
	require.Len(t, theirs, 1)

	require.True(t, lift(tenant(engine.ScopeClient, "k1", "")))
	require.False(t, lift(tenant(engine.ScopeClient, "k1", "")), "the operators' is theirs to lift")
	require.Equal(t, []engine.Scope{engine.ScopeGlobal, engine.ScopeClient, engine.ScopeAgent}, g.pausesOf("a1"))
	require.True(t, lift(ops(engine.ScopeClient, "k1", "")))
	require.True(t, lift(ops(engine.ScopeGlobal, "", "")))
	require.True(t, lift(ops(engine.ScopeAgent, "", "a1")), "an operator lifts a client's")
	require.Empty(t, g.pausesOf("a1"))

	g.exec(`UPDATE pauses SET until = now() - interval '1 second'`)
	set(tenant(engine.ScopeAgent, "k1", "a2"), soon)
	g.exec(`UPDATE pauses SET until = now() - interval '1 second'`)
	require.Empty(t, g.pausesOf("a2"), "it ends by itself")
	require.False(t, lift(ops(engine.ScopeAgent, "", "a2")))

	require.Equal(t, agent.NotFound,
		fault.CodeOf(s.Set(t.Context(), tenant(engine.ScopeAgent, "k2", "a1"), engine.Pause{Until: soon})),
		"another tenant's agent")
	require.Equal(t, clients.NotFound,
		fault.CodeOf(s.Set(t.Context(), ops(engine.ScopeClient, "k9", ""), engine.Pause{Until: soon})))
	require.Equal(
		t,
		"moves_paused/Acme/, moves_paused/Acme/, moves_paused/ops/, moves_paused/ops/, moves_resumed/Acme/Acme, moves_resumed/ops/ops, moves_resumed/ops/ops, moves_resumed/ops/Acme, moves_paused/Acme/",
		one[string](
			g,
			`
				SELECT string_agg(type || '/' || actor || '/' || coalesce(metadata->'before'->>'by', ''), ', '
					ORDER BY id)
				FROM events
				WHERE type LIKE 'moves_%'`,
		),
	)
	require.Equal(t, "maintenance",
		one[string](g,
			`SELECT metadata->'after'->>'reason' FROM events WHERE type = 'moves_paused' ORDER BY id LIMIT 1`))
}

// TestAPauseStopsVoluntaryMovesOnly: what a person insists on goes on.
func TestAPauseStopsVoluntaryMovesOnly(t *testing.T) {
	t.Parallel()

	g := guard(t)
	c := &postgres.Commands{DB: g.db}
	require.NoError(t, (&decisions.Pauses{DB: g.db}).Set(t.Context(), decisions.PauseSubject{
		Scope:    engine.ScopeGlobal,
		Operator: true,
		By:       "ops",
	},
		engine.Pause{Until: time.Now().Add(time.Hour), Reason: "AWS has a bad day"}))
	order := switching.SwitchRequest{AgentID: "a1", Target: switching.Target{Mode: agent.OnDemand}, Voluntary: true}
	_, err := c.Order(t.Context(), order)
	require.Equal(t, switching.Paused, fault.CodeOf(err))
	require.ErrorContains(t, err, "AWS has a bad day")
	order.Voluntary = false
	_, err = c.Order(t.Context(), order)
	require.NoError(t, err)
}
