package fleet_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/adoption"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/ec2sim"
	"spotkeeper/internal/fleet"
)

// locked is how the Provider is asked for one call that changes EC2, about an instance
// that carries the tags, by a client.
type locked func(t *testing.T, c cloud, a fleet.Account, i fleet.Instance) error

// changes lists every call that changes something at EC2, with what leads to it.
var changes = map[string][]locked{
	"TerminateInstances": {func(t *testing.T, c cloud, a fleet.Account, i fleet.Instance) error {
		return c.Terminate(t.Context(), a, region, i.ID, time.Time{})
	}},
	"CancelSpotInstanceRequests": {func(t *testing.T, c cloud, a fleet.Account, i fleet.Instance) error {
		return c.CancelRequest(t.Context(), a, region, i.ID)
	}},
	"ModifyInstanceAttribute": {
		func(t *testing.T, c cloud, a fleet.Account, i fleet.Instance) error { // of what was just launched
			_, err := c.Launch(t.Context(), a, fleet.LaunchRequest{
				ClientToken: t.Name(), Region: region, Mode: agent.Spot, InstanceType: "m5.large", AZ: "us-east-1a",
				ImageID: image, Tags: i.Tags, Description: fleet.Description{NoSourceCheck: true},
			})
			return err
		}},
	"CreateTags": {func(t *testing.T, c cloud, a fleet.Account, i fleet.Instance) error {
		return c.Adopt(t.Context(), a, region, i.ID, "a1")
	}},
	"RunInstances": {
		func(t *testing.T, c cloud, a fleet.Account, i fleet.Instance) error { // a copy of an instance
			template, err := c.Template(t.Context(), a, region, i.ID)
			if err != nil {
				return err
			}
			request, err := fleet.NewLaunchRequest(template, candidate("m5.large", "us-east-1b", agent.Spot),
				fleet.Owner{ClientID: a.ClientID, AgentID: "a1", ReplicaID: "r1"})
			require.NoError(t, err)
			_, err = c.Launch(t.Context(), a, request)
			return err
		},
		func(t *testing.T, c cloud, a fleet.Account, i fleet.Instance) error { // a request that was stored
			_, err := c.Launch(t.Context(), a, fleet.LaunchRequest{
				ClientToken:  t.Name(),
				Region:       region,
				Mode:         agent.Spot,
				InstanceType: "m5.large",
				AZ:           "us-east-1a",
				ImageID:      image,
				Tags:         i.Tags,
			})
			return err
		},
	},
}

// TestEveryChangeIsLocked walks the calls that change EC2. Each is made for an instance
// with the client's tags, and never for one without them or with another client's.
func TestEveryChangeIsLocked(t *testing.T) {
	t.Parallel()
	api := reflect.TypeFor[fleet.EC2API]()
	for n := range api.NumMethod() {
		call := api.Method(n).Name
		if strings.HasPrefix(call, "Describe") || strings.HasPrefix(call, "Get") { // they read
			continue
		}
		require.NotEmpty(t, changes[call], "%s changes EC2: show what stands in front of it", call)
		for _, way := range changes[call] {
			t.Run(call, func(t *testing.T) {
				t.Parallel()
				c := simulate(t, ec2sim.Options{})
				calls := func() int64 {
					counts, err := c.control.Counts(t.Context())
					require.NoError(t, err)
					return counts.Calls[call]
				}
				strangers := []fleet.Instance{
					c.tagged(t, "stranger", map[string]string{fleet.TagManagedBy: "another", fleet.TagClient: "c2"}),
					c.tagged(t, "another client's", markedFor("c2", nil)),
				}
				if call != "CreateTags" { // which is how an instance gets the tags
					strangers = append(strangers,
						c.tagged(t, "half marked", map[string]string{fleet.TagClient: "c1"}),
						c.tagged(t, "without tags", nil))
				}
				mine := c.tagged(t, "mine", markedFor("c1", nil))
				before := calls()
				for _, stranger := range strangers {
					err := way(t, c, own, stranger)
					require.Equal(t, adoption.NotOurs, fault.CodeOf(err), "%v", stranger.Tags)
				}
				require.Equal(t, adoption.NoAccount, fault.CodeOf(way(t, c, fleet.Account{ClientID: "c1"}, mine)))
				require.Equal(t, adoption.NotOurs, fault.CodeOf(way(t, c, fleet.Account{}, mine)), "without a client")
				require.Equal(t, before, calls(), "nothing was changed")
				require.NoError(t, way(t, c, own, mine))
				require.Equal(t, before+1, calls())
			})
		}
	}
}

// persistentSpot is a spot request that launches again what has ended.
var persistentSpot = &types.InstanceMarketOptionsRequest{
	MarketType: types.MarketTypeSpot,
	SpotOptions: &types.SpotMarketOptions{
		SpotInstanceType:             types.SpotInstanceTypePersistent,
		InstanceInterruptionBehavior: types.InstanceInterruptionBehaviorStop,
	},
}

// tagged launches an instance with exactly the tags, past the Provider.
func (c cloud) tagged(t *testing.T, token string, tags map[string]string) fleet.Instance {
	t.Helper()
	var tagged []types.TagSpecification
	if len(tags) > 0 {
		tagged = []types.TagSpecification{{ResourceType: types.ResourceTypeInstance}}
	}
	for k, v := range tags {
		tagged[0].Tags = append(tagged[0].Tags, types.Tag{Key: aws.String(k), Value: aws.String(v)})
	}
	out, err := ec2.New(ec2.Options{
		Region:       region,
		BaseEndpoint: aws.String(c.url),
		Credentials:  fleet.StaticCredentials("test", "test"),
	}).
		RunInstances(t.Context(), &ec2.RunInstancesInput{
			ClientToken:           aws.String(token),
			ImageId:               aws.String(image),
			InstanceType:          "m5.large",
			MinCount:              aws.Int32(1),
			MaxCount:              aws.Int32(1),
			TagSpecifications:     tagged,
			InstanceMarketOptions: persistentSpot,
		})
	require.NoError(t, err)
	id := aws.ToString(out.Instances[0].InstanceId)
	found, err := c.Describe(t.Context(), own, region, []string{id})
	require.NoError(t, err)
	require.Contains(t, found, id)
	return found[id]
}
