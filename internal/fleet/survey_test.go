package fleet_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/ec2sim"
	simclient "spotkeeper/internal/ec2sim/client"
)

// TestSurvey: a running instance, one that EC2 has marked, and one that EC2 does not know.
func TestSurvey(t *testing.T) {
	t.Parallel()
	c := simulate(t, ec2sim.Options{})
	a := own
	i := c.primary(t, a)
	ids := []string{i.ID, "i-00000000000000000"}
	seen, marks, err := c.Survey(t.Context(), a, region, ids)
	require.NoError(t, err)
	require.NoError(t, marks)
	require.Len(t, seen, 1)
	require.True(t, seen[i.ID].Marked.IsZero())

	require.NoError(t, c.control.Interrupt(t.Context(), i.ID, simclient.Notice, 0))
	seen, marks, err = c.Survey(t.Context(), a, region, ids)
	require.NoError(t, err)
	require.NoError(t, marks)
	require.WithinDuration(t, time.Now(), seen[i.ID].Marked, time.Minute)

	require.NoError(t, c.control.AddFault(t.Context(), simclient.Fault{
		Action: "DescribeSpotInstanceRequests",
		Code:   "UnauthorizedOperation",
		Times:  5,
	}))
	seen, marks, err = c.Survey(t.Context(), a, region, ids)
	require.NoError(t, err)
	require.Error(t, marks, "the role may not read spot requests")
	require.Len(t, seen, 1, "the states are known all the same")
}
