package app

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/ec2sim"
	"spotkeeper/internal/postgres/agents"
)

// TestANameKeepsNoOwnerOut: a client that has named another one's instance holds it only
// until its owner registers it and EC2 shows whose it is. Without that proof a later name
// takes nothing away.
func TestANameKeepsNoOwnerOut(t *testing.T) {
	t.Parallel()

	f := newField(t, ec2sim.Options{})
	owner, on := f.token, f.machine()
	var made struct{ Client struct{ Token string } }
	f.token = ""
	f.call("POST", "/api/admin/clients/create", map[string]any{"name": "squatter"}, &made)
	squatter := made.Client.Token
	register := func(token, name string) (status int, agentID string) {
		var answer struct {
			AgentID string `json:"agent_id"`
		}
		f.token = token
		status = f.ask("POST", "/api/agents/register", map[string]any{
			"client_token": token, "logical_agent_id": name, "instance_id": *on.InstanceId,
			"instance_type": string(on.InstanceType), "region": "us-east-1", "az": *on.Placement.AvailabilityZone,
			"mode": "spot",
		}, &answer)
		return status, answer.AgentID
	}
	ask := func() *activities.AdoptResult {
		got, err := (&activities.Adoptions{Store: &agents.Adoptions{DB: f.DB}, Fleet: ec2Fleet{Provider: f.Fleet},
			Log: f.Log}).AdoptInstance(t.Context(), activities.AdoptInput{InstanceID: *on.InstanceId})
		require.NoError(t, err)
		return got
	}
	holder := func() []string {
		return f.list(`SELECT c.name || ' ' || i.proof FROM instances i JOIN clients c ON c.id = i.client_id`)
	}

	status, squatted := register(squatter, "squat")
	require.Equal(t, http.StatusOK, status, f.log.String())
	require.False(t, ask().Over)
	require.Equal(t, []string{"squatter unproven"}, holder())

	status, _ = register(owner, "web")
	require.Equal(t, http.StatusNotFound, status, "EC2 was not asked yet")
	require.Equal(t, []string{"true"}, f.list(`SELECT (tend_at <= clock_timestamp())::text FROM operations
		WHERE id = 'adoption/' || $1`, *on.InstanceId), "it is due now")
	require.True(t, ask().Over)
	status, agentID := register(owner, "web")
	require.Equal(t, http.StatusOK, status, f.log.String())
	f.adopt(*on.InstanceId)
	require.Equal(t, []string{t.Name() + " adopted"}, holder())
	require.Equal(t, []string{agentID}, f.list(`SELECT agent_id FROM instances WHERE role = 'primary'`))
	require.Len(t, f.list(`SELECT id FROM events WHERE type = 'instance_released' AND agent_id = $1`, squatted), 1)
	require.Len(t, f.list(`SELECT id FROM notifications WHERE message LIKE '%is not yours%'`), 1)
	require.Empty(t, f.list(`SELECT instance_id FROM instance_claims`))

	status, _ = register(squatter, "squat")
	require.Equal(t, http.StatusNotFound, status, "what is proven is not contested")
	require.Empty(t, f.list(`SELECT instance_id FROM instance_claims`))
}

// TestALaterNameWithoutProofTakesNothing from a client that cannot prove its own either.
func TestALaterNameWithoutProofTakesNothing(t *testing.T) {
	t.Parallel()

	f := newField(t, ec2sim.Options{})
	on := f.machine()
	tokens := make([]string, 2)
	for n := range tokens {
		var made struct{ Client struct{ Token string } }
		f.token = ""
		f.call("POST", "/api/admin/clients/create", map[string]any{"name": "homeless " + string(rune('a'+n))}, &made)
		tokens[n] = made.Client.Token
	}
	for n, want := range []int{http.StatusOK, http.StatusNotFound, http.StatusNotFound} {
		f.token = tokens[min(n, 1)]
		require.Equal(t, want, f.ask("POST", "/api/agents/register", map[string]any{
			"client_token": f.token, "logical_agent_id": "web", "instance_id": *on.InstanceId,
			"instance_type": string(on.InstanceType), "region": "us-east-1", "az": "us-east-1a", "mode": "spot",
		}, nil))
		got, err := (&activities.Adoptions{Store: &agents.Adoptions{DB: f.DB}, Fleet: ec2Fleet{Provider: f.Fleet},
			Log: f.Log}).AdoptInstance(t.Context(), activities.AdoptInput{InstanceID: *on.InstanceId})
		require.NoError(t, err)
		require.False(t, got.Over)
	}
	require.Equal(t, []string{"homeless a unproven"},
		f.list(`SELECT c.name || ' ' || i.proof FROM instances i JOIN clients c ON c.id = i.client_id`))
}
