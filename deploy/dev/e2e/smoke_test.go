package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/devtest"
)

// The shortest way through everything: a client, its agent, a sign of life, and
// what operators look at.
func TestAnAgentLives(t *testing.T) {
	t.Parallel()
	s := devtest.Start(t, devtest.Options{})
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
		"/health":  "status",
		"/ready":   "",
		"/metrics": "go_goroutines",
	} {
		var body string
		status, err := s.Call(ctx, "GET", path, "", nil, &body)
		require.NoError(t, err)
		require.Equal(t, 200, status, "%s: %s", path, body)
		require.Contains(t, body, sign, path)
	}
}

// Another client's agent does not exist for one.
func TestATenantSeesOnlyItsOwn(t *testing.T) {
	t.Parallel()
	s := devtest.Start(t, devtest.Options{})
	owner := newTenant(t, s)
	agent := register(t, s, owner, "web", "i-0123456789abcdef0")

	for token, want := range map[string]int{owner.Token: 200, "": 401, "token-of-nobody": 401} {
		var answer map[string]any
		status, err := s.Call(deadline(t, time.Minute), "GET", "/api/agents/"+agent+"/config", token, nil, &answer)
		require.NoError(t, err)
		require.Equal(t, want, status, "%v", answer)
	}
}

// The whole stack comes back after every part of it was killed.
func TestEveryPartComesBackAfterKill9(t *testing.T) {
	t.Parallel()
	s := devtest.Start(t, devtest.Options{})
	ctx := deadline(t, 4*time.Minute)
	who := newTenant(t, s)
	agent := register(t, s, who, "web", "i-0123456789abcdef0")

	for _, part := range []string{devtest.Postgres, devtest.Temporal, devtest.EC2, devtest.Worker, devtest.API} {
		require.NoError(t, s.Kill(part))
		require.NoError(t, s.Restart(ctx, part))
	}

	require.Eventually(t, func() bool {
		status, err := s.Call(ctx, "GET", "/ready", "", nil, nil)
		return err == nil && status == 200
	}, 30*time.Second, 100*time.Millisecond)
	require.Equal(t, agent, register(t, s, who, "web", "i-0123456789abcdef0"))
}
