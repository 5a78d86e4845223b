package fleet_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/ec2sim"
	simclient "spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/fleet"
)

// tenancy is a tenant with a role in the simulator, a clock and the recorded refusals of
// its role.
type tenancy struct {
	cloud
	account fleet.Account
	role    simclient.Role
	clock   atomic.Int64 // since the start
	heard   []string
}

func newTenancy(t *testing.T) *tenancy {
	t.Helper()
	x := &tenancy{account: fleet.Account{ClientID: "c1", RoleARN: "arn:aws:iam::111111111111:role/spotkeeper-c1",
		ExternalID: "secret-1"}}
	x.role = simclient.Role{ARN: x.account.RoleARN, ExternalID: x.account.ExternalID}
	began := time.Now()
	x.cloud = simulate(t, ec2sim.Options{}, func(o *fleet.Options) {
		o.Now = func() time.Time { return began.Add(time.Duration(x.clock.Load())) }
		o.WatchRole = func(_ context.Context, a fleet.Account, refusal error) {
			if refusal == nil {
				x.heard = append(x.heard, a.ClientID+" assumed")
				return
			}
			x.heard = append(x.heard, a.ClientID+" refused")
		}
	})
	require.NoError(t, x.control.AddRole(t.Context(), x.role))
	return x
}

func (x *tenancy) assumed(t *testing.T) int64 {
	t.Helper()
	counts, err := x.control.Counts(t.Context())
	require.NoError(t, err)
	return counts.Calls["AssumeRole"]
}

// TestARevokedSessionIsReplaced (K13) within the call that finds it revoked, whichever way
// EC2 says so, and a permission that is missing for good costs few sessions.
func TestARevokedSessionIsReplaced(t *testing.T) {
	t.Parallel()

	for _, code := range []string{"ExpiredToken", "RequestExpired", "AuthFailure", "UnauthorizedOperation"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()

			x := newTenancy(t)
			_, err := x.Zones(t.Context(), x.account, region)
			require.NoError(t, err)
			require.NoError(t, x.control.RevokeSessions(t.Context(), simclient.Revocation{
				Account: "111111111111",
				Code:    code,
			}))
			made := x.primary(t, x.account)
			require.NotEmpty(t, made.ID, "a launch too")
			require.EqualValues(t, 2, x.assumed(t))

			require.NoError(t, x.control.AddFault(t.Context(), simclient.Fault{
				Action: "DescribeInstances",
				Code:   "UnauthorizedOperation",
				Times:  -1,
			}))
			for range 5 {
				_, err = x.Describe(t.Context(), x.account, region, []string{made.ID})
				require.Equal(t, replica.Refused, fault.CodeOf(err))
			}
			require.EqualValues(t, 2, x.assumed(t))
			x.clock.Store(int64(2 * time.Minute))
			for range 5 {
				_, err = x.Describe(t.Context(), x.account, region, []string{made.ID})
				require.Equal(t, replica.Refused, fault.CodeOf(err))
			}
			require.EqualValues(t, 3, x.assumed(t), "once a minute")
		})
	}
}

// TestARefusedRoleIsAskedForSlowly, and recovers by itself.
func TestARefusedRoleIsAskedForSlowly(t *testing.T) {
	t.Parallel()

	x := newTenancy(t)
	gone := x.role
	gone.Gone = true
	require.NoError(t, x.control.AddRole(t.Context(), gone))
	for range 20 {
		_, err := x.Zones(t.Context(), x.account, region)
		require.Equal(t, replica.Refused, fault.CodeOf(err), "%v", err)
	}
	require.EqualValues(t, 3, x.assumed(t), "asked again twice at first, then not for a while")
	require.Equal(t, []string{"c1 refused"}, x.heard)

	require.NoError(t, x.control.AddRole(t.Context(), x.role))
	x.clock.Store(int64(20 * time.Second))
	_, err := x.Zones(t.Context(), x.account, region)
	require.NoError(t, err)
	require.Equal(t, []string{"c1 refused", "c1 assumed"}, x.heard)
	other := fleet.Account{ClientID: "c2", RoleARN: "arn:aws:iam::222222222222:role/x", ExternalID: "secret-2"}
	require.NoError(t, x.control.AddRole(t.Context(), simclient.Role{ARN: other.RoleARN, ExternalID: other.ExternalID}))
	_, err = x.Zones(t.Context(), other, region)
	require.NoError(t, err)
}

// TestARoleThatWorkedIsDoubtedBeforeItIsRefused (K13): a refusal of a role that gave sessions is
// answered as something that passes, is asked about again after a second, and is believed and
// reported only when it lasts.
func TestARoleThatWorkedIsDoubtedBeforeItIsRefused(t *testing.T) {
	t.Parallel()

	x := newTenancy(t)
	_, err := x.Zones(t.Context(), x.account, region)
	require.NoError(t, err)
	require.Equal(t, []string{"c1 assumed"}, x.heard)

	expire := func() {
		require.NoError(t, x.control.RevokeSessions(t.Context(),
			simclient.Revocation{Account: "111111111111", Code: "ExpiredToken"}))
	}
	gone := x.role
	gone.Gone = true
	require.NoError(t, x.control.AddRole(t.Context(), gone))
	expire()
	for range 20 {
		_, err = x.Zones(t.Context(), x.account, region)
		require.Equal(t, fleet.Unavailable, fault.CodeOf(err), "%v", err)
	}
	require.EqualValues(t, 2, x.assumed(t), "one question for all of them")
	x.clock.Store(int64(2 * time.Second))
	_, err = x.Zones(t.Context(), x.account, region)
	require.Equal(t, fleet.Unavailable, fault.CodeOf(err), "%v", err)
	require.EqualValues(t, 3, x.assumed(t))

	require.NoError(t, x.control.AddRole(t.Context(), x.role))
	x.clock.Store(int64(4 * time.Second))
	_, err = x.Zones(t.Context(), x.account, region)
	require.NoError(t, err)
	require.Equal(t, []string{"c1 assumed"}, x.heard, "a refusal that passed is no news")

	require.NoError(t, x.control.AddRole(t.Context(), gone))
	x.clock.Store(int64(3 * time.Minute))
	expire()
	_, err = x.Zones(t.Context(), x.account, region)
	require.Equal(t, fleet.Unavailable, fault.CodeOf(err), "%v", err)
	x.clock.Store(int64(3*time.Minute + 40*time.Second))
	_, err = x.Zones(t.Context(), x.account, region)
	require.Equal(t, fleet.Unavailable, fault.CodeOf(err), "%v", err)
	x.clock.Store(int64(3*time.Minute + 50*time.Second))
	_, err = x.Zones(t.Context(), x.account, region)
	require.Equal(t, replica.Refused, fault.CodeOf(err), "%v", err)
	require.Equal(t, []string{"c1 assumed", "c1 refused"}, x.heard)
}

// TestARoleThatIsRefusedOnceAtFirst (K13) costs a pause and no failure: a process that has just
// begun has no session of the role to compare with.
func TestARoleThatIsRefusedOnceAtFirst(t *testing.T) {
	t.Parallel()

	for _, code := range []string{"AccessDenied", "RegionDisabledException", "InvalidClientTokenId", "SignatureDoesNotMatch"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()

			x := newTenancy(t)
			require.NoError(t, x.control.AddFault(t.Context(),
				simclient.Fault{Action: "AssumeRole", Code: code, Status: 403, Times: 1}))
			_, err := x.Zones(t.Context(), x.account, region)
			require.NoError(t, err)
			require.Equal(t, []string{"c1 assumed"}, x.heard)
		})
	}
}
