package app

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/adoption"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/fleet"
	"spotkeeper/internal/intake"
)

// asked records what is asked of Auto Scaling, and asks EC2 itself for the tags.
type asked struct {
	*fleet.Provider

	calls []string
}

func (a *asked) CompleteLifecycle(
	_ context.Context,
	_ fleet.Account,
	_ string,
	action fleet.LifecycleAction,
	_ bool,
) (bool, error) {
	a.calls = append(a.calls, "complete "+action.InstanceID)
	return true, nil
}

func (a *asked) KeepLifecycle(_ context.Context, _ fleet.Account, _ string, action fleet.LifecycleAction) (bool, error) {
	a.calls = append(a.calls, "keep "+action.InstanceID)
	return true, nil
}

// TestGroupsAreAskedAfterEC2: a group goes on, or waits, for an instance that EC2, asked
// immediately before, shows with our tags. The first lock, the row, is in
// TestGroupOfAnUnprovenInstance, and the third in TestOnlyMarkedGroupsGoOn.
func TestGroupsAreAskedAfterEC2(t *testing.T) {
	t.Parallel()
	l := newLocks(t)
	scaling := &asked{Provider: l.Fleet}
	g := groups{scaling}
	a := intake.LifecycleAction{InstanceID: l.standby, Region: "us-east-1", Account: l.account()}
	ask := func() error {
		_, err := g.Complete(t.Context(), a, false)
		_, waiting := g.KeepWaiting(t.Context(), a)
		require.Equal(t, fault.CodeOf(err), fault.CodeOf(waiting))
		return err
	}

	require.Equal(t, adoption.NotOurs, fault.CodeOf(ask()), "not adopted")
	l.adopt(l.standby)
	l.fault(client.Fault{Action: "DescribeInstances", Code: "UnauthorizedOperation"})
	require.Equal(t, replica.Refused, fault.CodeOf(ask()), "a lock that cannot be looked at is closed")
	require.NoError(t, l.sim.ClearFaults(t.Context()))
	l.untag()
	require.Equal(t, adoption.NotOurs, fault.CodeOf(ask()))
	l.tag(fleet.TagClient, "another")
	require.Equal(t, adoption.NotOurs, fault.CodeOf(ask()))
	require.Empty(t, scaling.calls)
	l.tag(fleet.TagClient, l.account().ClientID)
	require.NoError(t, ask())
	require.Equal(t, []string{"complete " + l.standby, "keep " + l.standby}, scaling.calls)
}
