package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/devtest"
)

// TestOneStack has what needs no stack of its own, one after the other: each has
// its tenant, and the last two kill.
func TestOneStack(t *testing.T) {
	t.Parallel()
	s := devtest.Start(t, devtest.Options{})
	t.Run("an agent lives", func(t *testing.T) { anAgentLives(t, s) })
	t.Run("a tenant sees only its own", func(t *testing.T) { aTenantSeesOnlyItsOwn(t, s) })
	t.Run("the command line works", func(t *testing.T) { theCommandLineWorks(t, s) })
	t.Run("operators run the jobs", func(t *testing.T) { operatorsRunTheJobs(t, s) })
	t.Run("every part comes back after kill -9", func(t *testing.T) { everyPartComesBack(t, s) })
}

// anAgentLives is the shortest way through everything: a client, its agent, a sign
// of life, and what operators look at.
func anAgentLives(t *testing.T, s *devtest.Stack) {
	t.Helper()
	ctx := deadline(t, time.Minute)
	who := newTenant(t, s)

	agent := register(t, s, who, "web", "i-0123456789abcdef0")
	require.Equal(t, agent, register(t, s, who, "web", "i-0123456789abcdef0"), "registering again finds the same agent")

	var beat map[string]any
	status, err := s.Call(ctx, "POST", "/api/agents/"+agent+"/heartbeat", who.Token, map[string]any{
		"status": "online", "monitored_instances": []string{"i-0123456789abcdef0"},
		"instance_id": "i-0123456789abcdef0", "instance_type": "t3.medium", "az": "us-east-1a", "mode": "spot",
	}, &beat)
	require.NoError(t, err)
	require.Equal(t, 200, status, "%v", beat)

	for path, sign := range map[string]string{
		"/health": "status",
		"/ready":  "",
	} {
		var body string
		status, err := s.Call(ctx, "GET", path, "", nil, &body)
		require.NoError(t, err)
		require.Equal(t, 200, status, "%s: %s", path, body)
		require.Contains(t, body, sign, path)
	}
	for _, address := range []string{s.APIMetrics, s.WorkerMetrics} {
		status, page, err := devtest.Get(ctx, address+"/metrics")
		require.NoError(t, err)
		require.Equal(t, 200, status, page)
		for _, name := range []string{"go_goroutines", "spotkeeper_agents_online", "spotkeeper_failovers_total", "spotkeeper_spend_dollars_per_hour"} {
			require.Contains(t, page, "\n"+name, address)
		}
		if address == s.WorkerMetrics {
			require.Contains(t, page, "temporal_worker_task_slots_used{")
			require.Contains(t, page, "temporal_worker_task_slots_available{")
		}
	}
}

// aTenantSeesOnlyItsOwn: another client's agent does not exist for one.
func aTenantSeesOnlyItsOwn(t *testing.T, s *devtest.Stack) {
	t.Helper()
	owner := newTenant(t, s)
	agent := register(t, s, owner, "web", "i-0123456789abcdef1")

	for token, want := range map[string]int{owner.Token: 200, "": 401, "no-such-token": 401} {
		var answer map[string]any
		status, err := s.Call(deadline(t, time.Minute), "GET", "/api/agents/"+agent+"/config", token, nil, &answer)
		require.NoError(t, err)
		require.Equal(t, want, status, "%v", answer)
	}
}

// everyPartComesBack: the whole stack does after every part of it was killed.
func everyPartComesBack(t *testing.T, s *devtest.Stack) {
	t.Helper()
	ctx := deadline(t, 4*time.Minute)
	who := newTenant(t, s)
	agent := register(t, s, who, "web", "i-0123456789abcdef3")

	for _, part := range []string{devtest.Postgres, devtest.Temporal, devtest.EC2, devtest.Worker, devtest.API} {
		require.NoError(t, s.Kill(part))
		require.NoError(t, s.Restart(ctx, part))
	}

	require.Eventually(t, func() bool {
		status, err := s.Call(ctx, "GET", "/ready", "", nil, nil)
		return err == nil && status == 200
	}, 30*time.Second, 100*time.Millisecond)
	require.Equal(t, agent, register(t, s, who, "web", "i-0123456789abcdef3"))
}
