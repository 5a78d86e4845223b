package fleet_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/fleet"
	"spotkeeper/internal/testkit/moto"
)

// startMoto is a provider that calls moto. Moto's first answer loads a lot of
// Python.
func startMoto(t *testing.T) *fleet.Provider {
	t.Helper()
	endpoint := moto.Start(t, "MOTO_ENABLE_AMI_VALIDATION=1", "MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION=1")
	return providerAt(t, endpoint, func(o *fleet.Options) {
		o.CallTimeout, o.LaunchTimeout = time.Minute, time.Minute
	})
}

// TestAgainstMoto runs the calls that moto has. moto lacks client tokens, a spot
// market, quotas and a price list: those are the simulator's.
func TestAgainstMoto(t *testing.T) {
	t.Parallel()
	p := startMoto(t)

	zones, err := p.Zones(t.Context(), own, region)
	require.NoError(t, err)
	require.NotEmpty(t, zones)
	require.Equal(t, "us-east-1a", zones[0].Name)
	require.NotEmpty(t, zones[0].ID)
	offered, err := p.Offerings(t.Context(), own, region, "m5.large")
	require.NoError(t, err)
	require.Contains(t, offered["m5.large"], "us-east-1a")

	_, err = p.Launch(t.Context(), own, fleet.LaunchRequest{
		ClientToken:  "no-such-image",
		Region:       region,
		Mode:         agent.OnDemand,
		InstanceType: "m5.large",
		AZ:           "us-east-1a",
		ImageID:      "ami-00000000000000000",
		Tags:         markedFor("c1", nil),
	})
	require.Equal(t, replica.Misconfigured, fault.CodeOf(err), "%v", err)

	old, err := p.Launch(t.Context(), own, fleet.LaunchRequest{
		ClientToken:  "primary",
		Region:       region,
		Mode:         agent.OnDemand,
		InstanceType: "m5.large",
		AZ:           "us-east-1a",
		ImageID:      "ami-03cf127a",
		UserData:     "I2Nsb3VkLWNvbmZpZw==",
		Tags:         markedFor("c1", map[string]string{"Name": "web"}),
	})
	require.NoError(t, err)
	template, err := p.Template(t.Context(), own, region, old.ID)
	require.NoError(t, err)
	require.Equal(t, "ami-03cf127a", template.ImageID)
	require.Equal(t, "I2Nsb3VkLWNvbmZpZw==", template.UserData)
	require.Contains(t, template.Zones(), "us-east-1b")

	for _, mode := range []agent.Mode{agent.Spot, agent.OnDemand} {
		request, err := fleet.NewLaunchRequest(template, candidate("m5.large", "us-east-1b", mode), owner)
		require.NoError(t, err)
		made, err := p.Launch(t.Context(), own, request)
		require.NoError(t, err)
		require.Equal(t, mode, made.Mode)
		require.Equal(t, "us-east-1b", made.AZ)
		require.Equal(t, template.Subnets["us-east-1b"][0], made.SubnetID)
		who, ours := fleet.OwnerFromTags(made)
		require.True(t, ours)
		require.Equal(t, owner, who)

		state, err := p.ConsoleState(t.Context(), own, region, made.ID)
		require.NoError(t, err)
		require.Equal(t, fleet.StateRunning, state.State)
		require.True(t, state.ChecksOK)
		require.True(t, state.TokensRequired)
	}
	ours, err := p.ListOurs(t.Context(), own, region, owner.ClientID)
	require.NoError(t, err)
	require.Len(t, ours, 3, "the primary was marked by its owner")
	ours = slices.DeleteFunc(ours, func(i fleet.Instance) bool { return i.ID == old.ID })

	require.NoError(t, p.Adopt(t.Context(), own, region, ours[0].ID, "a9"))
	absent := "i-0123456789abcdef0"
	found, err := p.Describe(t.Context(), own, region, []string{absent, ours[0].ID, ours[1].ID})
	require.NoError(t, err)
	require.Len(t, found, 2)
	require.Equal(t, "a9", found[ours[0].ID].Tags[fleet.TagAgent])

	for range 2 {
		require.NoError(t, p.Terminate(t.Context(), own, region, ours[0].ID, time.Now()), "a second run changes nothing")
	}
	require.NoError(t, p.Terminate(t.Context(), own, region, absent, time.Now().Add(-time.Hour)))
	require.Equal(t, replica.NotRunning, fault.CodeOf(p.Terminate(t.Context(), own, region, absent, time.Now())))
	state, err := p.ConsoleState(t.Context(), own, region, ours[0].ID)
	require.NoError(t, err)
	require.True(t, state.Ended())
	state, err = p.ConsoleState(t.Context(), own, region, absent)
	require.NoError(t, err)
	require.Equal(t, fleet.StateAbsent, state.State)

	tenant := fleet.Account{
		ClientID:   "c1",
		RoleARN:    "arn:aws:iam::111111111111:role/spotkeeper-c1",
		ExternalID: "secret",
	}
	theirs, err := p.Describe(t.Context(), tenant, region, []string{ours[1].ID})
	require.NoError(t, err)
	require.Empty(t, theirs, "the role's account is another one")
}
