package app

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/preflight"
	"spotkeeper/internal/ec2sim"
	simclient "spotkeeper/internal/ec2sim/client"
)

// TestPreflightOfANewAgent: a preflight that is ordered before the agent's instance was
// described describes it. When that cannot be done, its one check says why.
func TestPreflightOfANewAgent(t *testing.T) {
	t.Parallel()

	f := newField(t, ec2sim.Options{})
	m := f.join("web", f.machine())
	forget := func() {
		_, err := f.DB.Pool.Exec(t.Context(), `DELETE FROM launch_templates`)
		require.NoError(t, err)
	}
	run := func() (out preflight.Report) {
		f.call("GET", "/api/client/agents/"+m.id+"/preflight?run=true", nil, &out)
		return out
	}

	forget()
	require.Contains(t, run().Checks, preflight.Check{Name: "launch of spot/" + fieldType + ".us-east-1b", Result: preflight.OK})
	require.Equal(t, []string{m.at}, f.list(`SELECT instance_id FROM launch_templates`), "it is kept")

	require.NoError(t, f.sim.DenyByPolicy(t.Context(), simclient.Policy{Account: fieldAccount, Action: "DescribeInstanceStatus"}))
	blind := run()
	require.Equal(t, preflight.Failed, blind.Result)
	at := slices.IndexFunc(blind.Checks, func(c preflight.Check) bool { return c.Result == preflight.Failed })
	require.Equal(t, "state of instances", blind.Checks[at].Name)
	require.Contains(t, blind.Checks[at].Detail, "UnauthorizedOperation")
	require.Contains(t, blind.Checks[at].Repair, "ec2:DescribeInstanceStatus")
	require.NoError(t, f.sim.DenyByPolicy(t.Context(), simclient.Policy{Account: fieldAccount, Gone: true}))
	require.Contains(t, run().Checks, preflight.Check{Name: "state of instances", Result: preflight.OK})

	forget()
	f.fault(simclient.Fault{Action: "DescribeInstances", Code: "UnauthorizedOperation", Status: 403})
	report := run()
	require.Len(t, report.Checks, 2)
	require.Equal(t, preflight.Failed, report.Result)
	require.Contains(t, report.Checks[0].Detail, "UnauthorizedOperation")
	require.Contains(t, report.Checks[0].Repair, "ec2:DescribeInstances")

	_, err := f.DB.Pool.Exec(t.Context(), `UPDATE instances SET proof = 'unproven', adopted_at = NULL`)
	require.NoError(t, err)
	require.Contains(t, run().Checks[0].Repair, "unproven")

	_, err = f.DB.Pool.Exec(t.Context(), `UPDATE agents SET launcher = 'agent'`)
	require.NoError(t, err)
	require.Equal(t, preflight.Unknown, run().Result, "EC2 is not asked for an agent that launches for itself")
}
