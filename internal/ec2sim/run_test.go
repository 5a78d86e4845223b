package ec2sim_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/ec2sim"
	simclient "spotkeeper/internal/ec2sim/client"
)

func TestSpotLaunchIsDecodedWhole(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{Delays: simclient.AWSDelays()})
	in := order("t1", zoneA)
	in.SubnetId = aws.String(ec2sim.SubnetID(account, zoneA))
	in.KeyName = aws.String("key")
	in.MetadataOptions = &types.InstanceMetadataOptionsRequest{HttpTokens: types.HttpTokensStateRequired}
	in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: aws.String("agent")}
	in.SecurityGroupIds = []string{ec2sim.DefaultGroup(account, east)}
	in.UserData = aws.String("I2Nsb3VkLWNvbmZpZw==")
	in.BlockDeviceMappings = []types.BlockDeviceMapping{{
		DeviceName: aws.String("/dev/xvda"),
		Ebs:        &types.EbsBlockDevice{VolumeSize: aws.Int32(30), DeleteOnTermination: aws.Bool(false)},
	}}
	out, err := c.RunInstances(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, account, aws.ToString(out.OwnerId))
	require.Equal(t, types.InstanceStateNamePending, out.Instances[0].State.Name)

	c.advance(t, 20*time.Second)
	i := c.describe(t, *out.Instances[0].InstanceId)
	require.Equal(t, types.InstanceStateNameRunning, i.State.Name)
	require.Equal(t, types.InstanceLifecycleTypeSpot, i.InstanceLifecycle)
	require.Equal(t, types.InstanceTypeM5Large, i.InstanceType)
	require.Equal(t, zoneA, *i.Placement.AvailabilityZone)
	require.Equal(t, *in.SubnetId, *i.SubnetId)
	require.Equal(t, "t1", *i.ClientToken)
	require.Equal(t, start, *i.LaunchTime)
	require.Equal(t, types.HttpTokensStateRequired, i.MetadataOptions.HttpTokens)
	require.Equal(t, "arn:aws:iam::"+account+":instance-profile/agent", *i.IamInstanceProfile.Arn)
	require.Equal(t, []types.Tag{{Key: aws.String("agent"), Value: aws.String("t1")}}, i.Tags)
	require.Equal(t, ec2sim.DefaultGroup(account, east), *i.SecurityGroups[0].GroupId)
	require.False(t, *i.BlockDeviceMappings[0].Ebs.DeleteOnTermination)
	require.Equal(t, i.PublicIpAddress, i.NetworkInterfaces[0].Association.PublicIp)
	require.True(t, strings.HasPrefix(*i.PrivateIpAddress, "172.31."))
	require.Equal(t, types.ArchitectureValuesX8664, i.Architecture)
	require.NotEmpty(t, i.SpotInstanceRequestId)
}

func TestOneTokenLaunchesOnce(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	first := c.launch(t, order("t", zoneA))
	require.Equal(t, first, c.launch(t, order("t", zoneA)))

	for name, change := range map[string]func(*ec2.RunInstancesInput){
		"user data": func(in *ec2.RunInstancesInput) { in.UserData = aws.String("eA==") },
		"tags":      func(in *ec2.RunInstancesInput) { in.TagSpecifications[0].Tags[0].Value = aws.String("x") },
		"type":      func(in *ec2.RunInstancesInput) { in.InstanceType = types.InstanceTypeM5Xlarge },
		"market":    func(in *ec2.RunInstancesInput) { in.InstanceMarketOptions = nil },
		"count":     func(in *ec2.RunInstancesInput) { in.MaxCount = aws.Int32(2) },
	} {
		in := order("t", zoneA)
		change(in)
		_, err := c.RunInstances(t.Context(), in)
		require.Error(t, err, name)
		refused(t, err, "IdempotentParameterMismatch", http.StatusBadRequest)
	}

	otherZone := c.launch(t, order("t", zoneB)) // a zonal token
	require.NotEqual(t, first, otherZone)
	stranger, err := c.as(other, east).RunInstances(t.Context(), order("t", zoneA))
	require.NoError(t, err)
	require.NotEqual(t, first, *stranger.Instances[0].InstanceId)

	counts, err := c.ctl.Counts(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 3, counts.Launched)
	require.EqualValues(t, 2, counts.Tokens)
	require.EqualValues(t, 5, counts.Errors["IdempotentParameterMismatch"])
}

func TestTokenOfATerminatedInstance(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{Delays: simclient.Delays{ShuttingDown: 10}})
	id := c.launch(t, order("t", zoneA))
	_, err := c.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
	require.NoError(t, err)
	require.Equal(t, id, c.launch(t, order("t", zoneA)), "shutting down is not terminated")
	c.advance(t, 10*time.Second)
	_, err = c.RunInstances(t.Context(), order("t", zoneA))
	refused(t, err, "IdempotentInstanceTerminated", http.StatusBadRequest)
}

func TestSeveralAtOnceShareAReservation(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	_, err := c.ctl.SetCapacity(t.Context(), simclient.Capacity{Pool: poolA, Limit: 2})
	require.NoError(t, err)
	in := order("t", zoneA)
	in.MaxCount = aws.Int32(5)
	out, err := c.RunInstances(t.Context(), in)
	require.NoError(t, err)
	require.Len(t, out.Instances, 2, "as many as fit")
	require.EqualValues(t, 1, *out.Instances[1].AmiLaunchIndex)
	all, err := c.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{})
	require.NoError(t, err)
	require.Len(t, all.Reservations, 1)
	require.Len(t, all.Reservations[0].Instances, 2)
}

func TestWithoutAZoneTheCheapestWithCapacityIsChosen(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	require.NoError(t, c.ctl.SetPrice(t.Context(), "m5.large.us-east-1d", 0.001))
	require.NoError(t, c.ctl.SetPrice(t.Context(), "m5.large.us-east-1e", 0.002))
	for _, want := range []string{"us-east-1d", "us-east-1e"} {
		in := order("", "")
		in.ClientToken, in.Placement = aws.String("token-"+want), nil
		require.Equal(t, want, *c.describe(t, c.launch(t, in)).Placement.AvailabilityZone)
		_, err := c.ctl.SetCapacity(t.Context(), simclient.Capacity{Pool: "m5.large.us-east-1d", Limit: 0})
		require.NoError(t, err)
	}
}

func TestBadLaunches(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	for _, tc := range []struct {
		code   string
		change func(*ec2.RunInstancesInput)
	}{
		{"InvalidAMIID.NotFound", func(in *ec2.RunInstancesInput) { in.ImageId = aws.String("ami-0123456789abcdef0") }},
		{"InvalidAMIID.Malformed", func(in *ec2.RunInstancesInput) { in.ImageId = aws.String("x") }},
		{"InvalidParameterValue",
			func(in *ec2.RunInstancesInput) { in.ImageId = aws.String(simclient.PublicImage(east, "arm64")) }},
		{"InvalidParameterValue", func(in *ec2.RunInstancesInput) { in.InstanceType = "x9.huge" }},
		{"InvalidParameterValue",
			func(in *ec2.RunInstancesInput) { in.Placement.AvailabilityZone = aws.String("us-east-1z") }},
		{"InvalidParameterValue",
			func(in *ec2.RunInstancesInput) { in.SubnetId = aws.String(ec2sim.SubnetID(account, zoneB)) }},
		{"InvalidSubnetID.NotFound",
			func(in *ec2.RunInstancesInput) { in.SubnetId = aws.String(ec2sim.SubnetID(other, zoneA)) }},
		{"InvalidGroup.NotFound", func(in *ec2.RunInstancesInput) { in.SecurityGroupIds = []string{"sg-1"} }},
		{"InvalidParameterValue", func(in *ec2.RunInstancesInput) { in.MinCount = aws.Int32(2) }},
		{"InvalidParameterValue",
			func(in *ec2.RunInstancesInput) { in.ClientToken = aws.String(strings.Repeat("x", 65)) }},
		{"InvalidUserData.Malformed", func(in *ec2.RunInstancesInput) { in.UserData = aws.String("%") }},
		{"SpotMaxPriceTooLow", func(in *ec2.RunInstancesInput) {
			in.InstanceMarketOptions.SpotOptions.MaxPrice = aws.String("0.0001")
		}},
		{"InvalidParameterCombination", func(in *ec2.RunInstancesInput) {
			in.InstanceMarketOptions.SpotOptions.SpotInstanceType = types.SpotInstanceTypePersistent
		}},
		{"InvalidParameterValue", func(in *ec2.RunInstancesInput) {
			in.TagSpecifications[0].Tags[0].Key = aws.String("aws:mine")
		}},
	} {
		in := order("t-"+tc.code, zoneA)
		tc.change(in)
		_, err := c.RunInstances(t.Context(), in)
		refused(t, err, tc.code, http.StatusBadRequest)
	}
	in := order("dry", zoneA)
	in.DryRun = aws.Bool(true)
	_, err := c.RunInstances(t.Context(), in)
	refused(t, err, "DryRunOperation", http.StatusPreconditionFailed)
	counts, err := c.ctl.Counts(t.Context())
	require.NoError(t, err)
	require.Zero(t, counts.Launched)
}

func TestOneTokenAtTheSameMoment(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	_, err := c.ctl.SetCapacity(t.Context(), simclient.Capacity{Pool: poolA, Limit: 3})
	require.NoError(t, err)
	answers := make(chan error, 40)
	for n := range cap(answers) {
		go func() {
			_, err := c.RunInstances(t.Context(), order(string(rune('a'+n%5)), zoneA))
			answers <- err
		}()
	}
	failed := 0
	for range cap(answers) {
		if err := <-answers; err != nil {
			refused(t, err, "InsufficientInstanceCapacity", http.StatusInternalServerError)
			failed++
		}
	}
	require.Equal(t, 16, failed, "two of five tokens found no capacity, whichever they were")
	counts, err := c.ctl.Counts(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 3, counts.Live)
	require.EqualValues(t, 3, counts.Tokens)
}

func TestUserDataIsReadBack(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	in := order("t", zoneA)
	in.UserData = aws.String("eA==")
	for want, id := range map[string]string{"eA==": c.launch(t, in), "": c.launch(t, onDemand("none", zoneB))} {
		out, err := c.DescribeInstanceAttribute(t.Context(), &ec2.DescribeInstanceAttributeInput{
			InstanceId: aws.String(id),
			Attribute:  types.InstanceAttributeNameUserData,
		})
		require.NoError(t, err)
		require.Equal(t, want, aws.ToString(out.UserData.Value))
	}
}
