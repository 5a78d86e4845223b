package ec2sim_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/ec2sim"
	simclient "spotkeeper/internal/ec2sim/client"
)

// TestPoliciesOfTheOrganization deny by type, zone, market and region, a dry run too, and no
// other account.
func TestPoliciesOfTheOrganization(t *testing.T) {
	t.Parallel()

	c := newCloud(t, ec2sim.Options{})
	deny := func(p simclient.Policy) {
		t.Helper()
		p.Account = account
		require.NoError(t, c.ctl.DenyByPolicy(t.Context(), p))
	}
	deny(simclient.Policy{InstanceType: "m5.*", Zone: zoneA})
	deny(simclient.Policy{Market: simclient.OnDemand})
	deny(simclient.Policy{Action: "Describe*", Region: "us-west-2"})

	_, err := c.RunInstances(t.Context(), order("1", zoneA))
	refused(t, err, "UnauthorizedOperation", http.StatusForbidden)
	require.ErrorContains(t, err, "explicit deny in a service control policy")
	require.ErrorContains(t, err, "Encoded authorization failure message")
	dry := order("2", zoneA)
	dry.DryRun = aws.Bool(true)
	_, err = c.RunInstances(t.Context(), dry)
	refused(t, err, "UnauthorizedOperation", http.StatusForbidden)
	_, err = c.RunInstances(t.Context(), onDemand("3", zoneB))
	refused(t, err, "UnauthorizedOperation", http.StatusForbidden)
	_, err = c.as(account, "us-west-2").DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{})
	refused(t, err, "UnauthorizedOperation", http.StatusForbidden)

	c.launch(t, order("4", zoneB))
	_, err = c.as(other, east).RunInstances(t.Context(), onDemand("5", zoneA))
	require.NoError(t, err)
	deny(simclient.Policy{Gone: true})
	c.launch(t, order("6", zoneA))
	require.Error(t, c.ctl.DenyByPolicy(t.Context(), simclient.Policy{Account: account, Zone: "["}))
}

// TestTheServiceLinkedRoleOfSpot: without it on-demand alone works. A caller that may create
// it does so with a launch.
func TestTheServiceLinkedRoleOfSpot(t *testing.T) {
	t.Parallel()

	c := newCloud(t, ec2sim.Options{})
	missing := simclient.SpotRole{Account: account, Missing: true}
	require.NoError(t, c.ctl.SetSpotRole(t.Context(), missing))
	_, err := c.RunInstances(t.Context(), order("1", zoneA))
	refused(t, err, "AuthFailure.ServiceLinkedRoleCreationNotPermitted", http.StatusBadRequest)
	c.launch(t, onDemand("2", zoneA))

	missing.Creatable = true
	require.NoError(t, c.ctl.SetSpotRole(t.Context(), missing))
	c.launch(t, order("3", zoneA))
	missing.Creatable = false
	c.launch(t, order("4", zoneA))
}

// TestPlacesThatAreClosed: a zone that the account has no more, and a region that it has not
// enabled.
func TestPlacesThatAreClosed(t *testing.T) {
	t.Parallel()

	c := newCloud(t, ec2sim.Options{})
	for _, place := range []string{zoneA, "us-west-2"} {
		require.NoError(t, c.ctl.ChangePlace(t.Context(), simclient.Place{Account: account, Name: place}))
	}
	zones, err := c.DescribeAvailabilityZones(t.Context(), &ec2.DescribeAvailabilityZonesInput{})
	require.NoError(t, err)
	for _, z := range zones.AvailabilityZones {
		require.NotEqual(t, zoneA, *z.ZoneName)
	}
	_, err = c.RunInstances(t.Context(), order("1", zoneA))
	refused(t, err, "InvalidParameterValue", http.StatusBadRequest)
	_, err = c.as(account, "us-west-2").DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{})
	refused(t, err, "AuthFailure", http.StatusUnauthorized)

	require.NoError(t, c.ctl.ChangePlace(t.Context(), simclient.Place{Account: account, Name: zoneA, Open: true}))
	c.launch(t, order("2", zoneA))
}

// TestAWrongState is shown for a while, and changes nothing.
func TestAWrongState(t *testing.T) {
	t.Parallel()

	c := newCloud(t, ec2sim.Options{})
	id := c.launch(t, order("1", zoneA))
	require.NoError(t, c.ctl.Show(t.Context(), simclient.Shown{InstanceID: id, State: "stopped", ForSeconds: 60}))
	require.Equal(t, types.InstanceStateNameStopped, c.state(t, id))
	status, err := c.DescribeInstanceStatus(t.Context(), &ec2.DescribeInstanceStatusInput{InstanceIds: []string{id}})
	require.NoError(t, err)
	require.Empty(t, status.InstanceStatuses)
	c.advance(t, time.Minute)
	require.Equal(t, types.InstanceStateNameRunning, c.state(t, id))
	require.Error(t, c.ctl.Show(t.Context(), simclient.Shown{InstanceID: id, State: "asleep", ForSeconds: 60}))
}
