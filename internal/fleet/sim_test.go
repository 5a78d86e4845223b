package fleet_test

import (
	"encoding/json"
	"maps"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/ec2sim"
	simclient "spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/fleet"
)

const region = "us-east-1"

// cloud is a simulated EC2 and a way to it.
type cloud struct {
	*fleet.Provider
	control *simclient.Client
	url     string
}

func simulate(t *testing.T, o ec2sim.Options, change ...func(*fleet.Options)) cloud {
	t.Helper()
	sim := ec2sim.New(o)
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	t.Cleanup(func() { require.NoError(t, sim.Close()) })
	return cloud{providerAt(t, server.URL, change...), simclient.NewClient(server.URL, server.Client()), server.URL}
}

// primary launches what an agent would live on before we came.
func (c cloud) primary(t *testing.T, a fleet.Account) fleet.Instance {
	t.Helper()
	i, err := c.Launch(t.Context(), a, fleet.LaunchRequest{
		ClientToken:  t.Name(),
		Region:       region,
		Mode:         agent.Spot,
		InstanceType: "m5.large",
		AZ:           "us-east-1a",
		ImageID:      image,
		KeyName:      "",
		UserData:     "I2Nsb3VkLWNvbmZpZw==",
		Tags:         markedFor(a.ClientID, map[string]string{"Name": "web", "team": "shop"}),
	})
	require.NoError(t, err)
	return i
}

// markedFor adds the tags of what was adopted for a client.
func markedFor(clientID string, tags map[string]string) map[string]string {
	out := map[string]string{fleet.TagManagedBy: fleet.ManagedBy, fleet.TagClient: clientID}
	maps.Copy(out, tags)
	return out
}

var image = simclient.PublicImage(region, "x86_64")

var owner = fleet.Owner{ClientID: "c1", AgentID: "a1", ReplicaID: "r1", Operation: "replica/r1", Epoch: 7}

func candidate(instanceType, az string, mode agent.Mode) replica.Candidate {
	return replica.Candidate{
		PoolID:       agent.PoolID(instanceType, az),
		InstanceType: instanceType,
		Region:       region,
		AZ:           az,
		Mode:         mode,
	}
}

// TestLaunchCopiesThePrimary: the new instance is the old one elsewhere, and says
// from its first moment whose it is.
func TestLaunchCopiesThePrimary(t *testing.T) {
	t.Parallel()

	for _, mode := range []agent.Mode{agent.Spot, agent.OnDemand} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			c := simulate(t, ec2sim.Options{})
			old := c.primary(t, own)
			template, err := c.Template(t.Context(), own, region, old.ID)
			require.NoError(t, err)
			require.Equal(t, image, template.ImageID)
			require.Equal(t, "I2Nsb3VkLWNvbmZpZw==", template.UserData)
			require.False(t, template.UserDataHidden)
			require.Equal(t, map[string]string{"Name": "web", "team": "shop"}, template.Tags)
			require.Contains(t, template.Zones(), "us-east-1b")
			require.Equal(t, old.SubnetID, template.Subnets["us-east-1a"][0], "its own subnet in its own zone")

			request, err := fleet.NewLaunchRequest(template, candidate("m5.xlarge", "us-east-1b", mode), owner)
			require.NoError(t, err)
			made, err := c.Launch(t.Context(), own, request)
			require.NoError(t, err)
			require.Equal(t, mode, made.Mode)
			require.Equal(t, "m5.xlarge.us-east-1b", made.PoolID())
			require.Empty(t, request.Differences(made))
			require.Equal(t, "web", made.Tags["Name"])
			who, ours := fleet.OwnerFromTags(made)
			require.True(t, ours)
			require.Equal(t, owner, who)

			elsewhere := request
			elsewhere.ImageID, elsewhere.SecurityGroupIDs = "ami-1", append(elsewhere.SecurityGroupIDs, "sg-1")
			require.Len(t, elsewhere.Differences(made), 2)
		})
	}
}

// TestOneTokenOneInstance: a lost answer, a repetition and a request that was stored and
// read again are one launch; a terminated instance is distinguished from a new one.
func TestOneTokenOneInstance(t *testing.T) {
	t.Parallel()

	c := simulate(t, ec2sim.Options{})
	template, err := c.Template(t.Context(), own, region, c.primary(t, own).ID)
	require.NoError(t, err)
	request, err := fleet.NewLaunchRequest(template, candidate("m5.large", "us-east-1b", agent.Spot), owner)
	require.NoError(t, err)

	require.NoError(t, c.control.AddFault(t.Context(), simclient.Fault{Action: "RunInstances", Mode: simclient.FaultLost}))
	_, err = c.Launch(t.Context(), own, request)
	require.Equal(t, fleet.Unavailable, fault.CodeOf(err), "%v", err)

	stored, err := json.Marshal(request)
	require.NoError(t, err)
	var thawed fleet.LaunchRequest
	require.NoError(t, json.Unmarshal(stored, &thawed))
	first, err := c.Launch(t.Context(), own, thawed)
	require.NoError(t, err)
	second, err := c.Launch(t.Context(), own, request)
	require.NoError(t, err)
	require.Equal(t, first.ID, second.ID)
	counts, err := c.control.Counts(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(2), counts.Launched, "the primary and one replica")

	changed := request
	changed.Tags = markedFor("c1", map[string]string{"Name": "another"})
	_, err = c.Launch(t.Context(), own, changed)
	require.Equal(t, replica.TokenReused, fault.CodeOf(err))

	require.NoError(t, c.Terminate(t.Context(), own, region, first.ID, time.Time{}))
	_, err = c.Launch(t.Context(), own, request)
	require.Equal(t, replica.TokenDead, fault.CodeOf(err))
}

func TestTemplateOfWhatEnded(t *testing.T) {
	t.Parallel()

	c := simulate(t, ec2sim.Options{})
	old := c.primary(t, own)
	require.NoError(t, c.Terminate(t.Context(), own, region, old.ID, time.Time{}))
	for _, id := range []string{old.ID, "i-0123456789abcdef0"} {
		_, err := c.Template(t.Context(), own, region, id)
		require.Equal(t, replica.InstanceGone, fault.CodeOf(err), id)
	}
}

func TestUserDataMayBeHidden(t *testing.T) {
	t.Parallel()

	c := simulate(t, ec2sim.Options{})
	old := c.primary(t, own)
	require.NoError(t, c.control.AddFault(t.Context(), simclient.Fault{
		Action: "DescribeInstanceAttribute",
		Code:   "UnauthorizedOperation",
	}))
	template, err := c.Template(t.Context(), own, region, old.ID)
	require.NoError(t, err)
	require.True(t, template.UserDataHidden)
	require.Empty(t, template.UserData)
}

// TestStatesOverTime watches a launch, an interruption and an end as EC2 shows
// them, the moments at which it shows nothing included.
func TestStatesOverTime(t *testing.T) {
	t.Parallel()

	c := simulate(t, ec2sim.Options{Delays: simclient.Delays{
		Pending:      16,
		Checks:       10,
		ShuttingDown: 30,
		Visibility:   5,
		Notice:       120,
	}})
	_, err := c.control.Freeze(t.Context())
	require.NoError(t, err)
	made := c.primary(t, own)
	look := func(after time.Duration) fleet.Instance {
		_, err := c.control.Advance(t.Context(), after)
		require.NoError(t, err)
		i, err := c.ConsoleState(t.Context(), own, region, made.ID)
		require.NoError(t, err)
		return i
	}
	require.Equal(t, fleet.StateAbsent, look(0).State, "not visible yet")
	err = c.Terminate(t.Context(), own, region, made.ID, time.Now())
	require.Equal(t, replica.NotRunning, fault.CodeOf(err), "not visible is not gone")

	require.Equal(t, fleet.StatePending, look(6*time.Second).State)
	i := look(11 * time.Second)
	require.Equal(t, fleet.StateRunning, i.State)
	require.False(t, i.ChecksOK)
	require.True(t, look(10*time.Second).ChecksOK)

	err = c.control.Interrupt(t.Context(), made.ID, simclient.Notice, 0)
	require.NoError(t, err)
	require.Equal(t, fleet.StateRunning, look(time.Minute).State)
	i = look(70 * time.Second)
	require.True(t, i.Ended())
	require.True(t, i.Interrupted())
	require.NoError(t, c.Terminate(t.Context(), own, region, made.ID, made.LaunchedAt), "ended already is success")

	require.Equal(t, fleet.StateAbsent, look(2*time.Hour).State, "forgotten")
	require.NoError(t, c.Terminate(t.Context(), own, region, made.ID, time.Now().Add(-time.Hour)),
		"absent for long is gone")
}

// TestDescribeBatchesPagesAndMissesNone asks for more than a batch, over small
// pages, with ids among them that EC2 does not know.
func TestDescribeBatchesPagesAndMissesNone(t *testing.T) {
	t.Parallel()

	c := simulate(t, ec2sim.Options{PageSize: 7})
	template, err := c.Template(t.Context(), own, region, c.primary(t, own).ID)
	require.NoError(t, err)
	var ids []string
	for n := range 25 {
		who := owner
		who.ReplicaID = strconv.Itoa(n)
		if n%2 == 1 {
			who.ClientID = "c2"
		}
		request, err := fleet.NewLaunchRequest(template, candidate("m5.large", "us-east-1b", agent.Spot), who)
		require.NoError(t, err)
		made, err := c.Launch(t.Context(), fleet.Account{ClientID: who.ClientID, Own: true}, request)
		require.NoError(t, err)
		ids = append(ids, made.ID)
	}
	asked := append([]string{"i-0123456789abcdef0"}, ids...)
	for n := range 2 * 200 {
		asked = append(asked, "i-"+strconv.FormatInt(0x10000000+int64(n), 16))
	}
	found, err := c.Describe(t.Context(), own, region, asked)
	require.NoError(t, err)
	require.Len(t, found, 25)

	require.NoError(t, c.Terminate(t.Context(), own, region, ids[0], time.Time{}))
	ours, err := c.ListOurs(t.Context(), own, region, "")
	require.NoError(t, err)
	require.Len(t, ours, 25, "without the one that ended")
	ours, err = c.ListOurs(t.Context(), own, region, "c1")
	require.NoError(t, err)
	require.Len(t, ours, 13)

	token := found[ids[0]].ClientToken
	made, err := c.FindLaunched(t.Context(), own, region, append([]string{token, "unknown"}, manyTokens(200)...))
	require.NoError(t, err)
	require.Equal(t, map[string]string{token: ids[0]}, made, "the one that ended, by the token of its launch")
}

func manyTokens(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = "token-" + strconv.Itoa(i)
	}
	return out
}
