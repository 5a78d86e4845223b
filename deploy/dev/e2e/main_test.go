// Package e2e tests whole stacks from outside: real processes, a real database,
// a real Temporal server, and a simulated EC2, over HTTP only.
package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"spotkeeper/deploy/dev/devtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func deadline(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// tenant is a client made for one test.
type tenant = devtest.Tenant

func newTenant(t *testing.T, s *devtest.Stack) tenant {
	t.Helper()
	who, err := s.NewTenant(deadline(t, time.Minute), t.Name(), nil)
	require.NoError(t, err)
	return who
}

// registration is what a deployed agent sends when it starts.
func registration(token, agent, instance string) map[string]any {
	return map[string]any{
		"client_token": token, "hostname": agent, "logical_agent_id": agent,
		"instance_id": instance, "instance_type": "t3.medium", "region": "us-east-1", "az": "us-east-1a",
		"ami_id": "ami-0123456789abcdef0", "agent_version": "4.0.0", "mode": "spot",
		"private_ip": "10.0.0.10", "public_ip": nil,
	}
}

func register(t *testing.T, s *devtest.Stack, who tenant, agent, instance string) (agentID string) {
	t.Helper()
	var answer struct {
		AgentID string `json:"agent_id"`
		Config  map[string]any
	}
	status, err := s.Call(deadline(t, time.Minute), "POST", "/api/agents/register", who.Token,
		registration(who.Token, agent, instance), &answer)
	require.NoError(t, err)
	require.Equal(t, 200, status)
	require.NotEmpty(t, answer.AgentID)
	require.NotNil(t, answer.Config)
	return answer.AgentID
}
