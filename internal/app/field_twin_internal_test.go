package app

import (
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/ec2sim"
	simclient "spotkeeper/internal/ec2sim/client"
)

// elaborate is an instance with much that EC2's defaults do not give.
func elaborate(in *ec2.RunInstancesInput) {
	in.InstanceType, in.KeyName = "t3.large", aws.String("ops")
	in.CreditSpecification = &types.CreditSpecificationRequest{CpuCredits: aws.String("standard")}
	in.Monitoring = &types.RunInstancesMonitoringEnabled{Enabled: aws.Bool(true)}
	in.MetadataOptions = &types.InstanceMetadataOptionsRequest{
		HttpTokens:              types.HttpTokensStateOptional,
		HttpPutResponseHopLimit: aws.Int32(3),
		InstanceMetadataTags:    types.InstanceMetadataTagsStateEnabled,
	}
	in.EbsOptimized = aws.Bool(true)
	in.BlockDeviceMappings = []types.BlockDeviceMapping{
		{
			DeviceName: aws.String("/dev/xvda"),
			Ebs: &types.EbsBlockDevice{VolumeSize: aws.Int32(200), VolumeType: types.VolumeTypeIo2,
				Iops: aws.Int32(4000), Encrypted: aws.Bool(true), KmsKeyId: aws.String("key-1")},
		},
		{
			DeviceName: aws.String("/dev/sdf"),
			Ebs: &types.EbsBlockDevice{
				VolumeSize: aws.Int32(50),
				VolumeType: types.VolumeTypeGp3,
				Iops:       aws.Int32(3500),
			},
		},
	}
}

// TestAReplacementIsATwin (K12): volumes, credits, monitoring and options are the original's.
func TestAReplacementIsATwin(t *testing.T) {
	t.Parallel()

	f := newField(t, ec2sim.Options{Delays: simclient.Delays{Pending: 16, Checks: 10}})
	old := f.machine(elaborate)
	_, err := f.ec2.ModifyInstanceAttribute(t.Context(), &ec2.ModifyInstanceAttributeInput{InstanceId: old.InstanceId,
		SourceDestCheck: &types.AttributeBooleanValue{Value: aws.Bool(false)}})
	require.NoError(t, err)
	m := f.join("web", old)
	require.Equal(t, []string{
		"A replacement of web would lack: what is written on the volume " +
			f.volumes(*old.InstanceId)["/dev/sdf"].id + " at /dev/sdf"},
		f.list(`SELECT message FROM notifications WHERE severity = 'warning'`), "told at adoption")
	f.learn()
	require.Empty(t, f.list(`SELECT agent_id FROM launch_templates WHERE template::text LIKE '%I2Nsb3VkLWNvbmZpZw%'`),
		"user data is sealed")

	out := m.lose()
	require.NotEmpty(t, out.Successor, out.Steps)
	require.Empty(t, f.list(`SELECT client_token FROM launches WHERE request::text LIKE '%I2Nsb3VkLWNvbmZpZw%'`),
		"user data is sealed")
	successor := f.describe(out.Successor)
	require.Equal(t, types.MonitoringStateEnabled, successor.Monitoring.State)
	require.Equal(t, types.HttpTokensStateRequired, successor.MetadataOptions.HttpTokens)
	require.Equal(t, int32(3), *successor.MetadataOptions.HttpPutResponseHopLimit)
	require.True(t, *successor.EbsOptimized)
	require.False(t, *successor.SourceDestCheck)
	was, is := f.volumes(*old.InstanceId), f.volumes(out.Successor)
	for device := range was {
		require.Equal(t, was[device].like, is[device].like, device)
	}
	credits, err := f.ec2.DescribeInstanceCreditSpecifications(t.Context(),
		&ec2.DescribeInstanceCreditSpecificationsInput{InstanceIds: []string{out.Successor}})
	require.NoError(t, err)
	require.Equal(t, "standard", *credits.InstanceCreditSpecifications[0].CpuCredits)
	data, err := f.ec2.DescribeInstanceAttribute(t.Context(), &ec2.DescribeInstanceAttributeInput{
		InstanceId: &out.Successor,
		Attribute:  types.InstanceAttributeNameUserData,
	})
	require.NoError(t, err)
	require.Equal(t, "I2Nsb3VkLWNvbmZpZw==", *data.UserData.Value)
}

// volume is a volume and what a twin of it has too.
type volume struct{ id, like string }

func (f *field) volumes(instanceID string) map[string]volume {
	f.t.Helper()
	found, err := f.ec2.DescribeVolumes(f.t.Context(), &ec2.DescribeVolumesInput{Filters: []types.Filter{
		{Name: aws.String("attachment.instance-id"), Values: []string{instanceID}}}})
	require.NoError(f.t, err)
	out := map[string]volume{}
	for _, v := range found.Volumes {
		out[*v.Attachments[0].Device] = volume{*v.VolumeId, describeVolume(v)}
	}
	return out
}

func describeVolume(v types.Volume) string {
	return string(v.VolumeType) + "/" + aws.ToString(v.KmsKeyId) + "/" + strconv.Itoa(int(aws.ToInt32(v.Size))) +
		"/" + strconv.Itoa(int(aws.ToInt32(v.Iops)))
}

func (f *field) describe(id string) types.Instance {
	f.t.Helper()
	found, err := f.ec2.DescribeInstances(f.t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	require.NoError(f.t, err)
	return found.Reservations[0].Instances[0]
}

// TestAPartitionIsKept (K12): the successor asks for the group and the partition of the original.
func TestAPartitionIsKept(t *testing.T) {
	t.Parallel()

	f := newField(t, ec2sim.Options{Delays: simclient.AWSDelays()})
	m := f.join("web", f.machine(func(in *ec2.RunInstancesInput) {
		in.Placement.GroupName, in.Placement.PartitionNumber = aws.String("rack"), aws.Int32(2)
	}))
	out := m.lose()
	require.NotEmpty(t, out.Successor, out.Steps)
	successor := f.describe(out.Successor)
	require.Equal(t, "rack", aws.ToString(successor.Placement.GroupName))
	require.Equal(t, int32(2), aws.ToInt32(successor.Placement.PartitionNumber))
	require.NotContains(t, out.Steps, "outside the placement group")
}

// TestASubnetWithoutIPv4 (K4): the successor of an instance in one is launched in another one, past a
// zone that has IPv4 alone, and has an IPv6 address and no other. The successor of an instance
// with IPv4 passes the subnets without it.
func TestASubnetWithoutIPv4(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		without   []string // zones whose subnet has no IPv4
		pool      string
		addresses bool
	}{
		"original without IPv4": {[]string{"us-east-1a", "us-east-1c"}, "m5.large.us-east-1c", false},
		"original with IPv4":    {[]string{"us-east-1b"}, "m5.large.us-east-1c", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			f := newField(t, ec2sim.Options{Delays: simclient.AWSDelays()})
			for _, zone := range c.without {
				require.NoError(t, f.sim.ChangeSubnet(t.Context(), simclient.SubnetChange{
					SubnetID: ec2sim.SubnetID(fieldAccount, zone),
					State:    simclient.SubnetIPv6,
				}))
			}
			m := f.join("web", f.machine(func(in *ec2.RunInstancesInput) {
				in.SubnetId = aws.String(ec2sim.SubnetID(fieldAccount, "us-east-1a"))
			}))
			out := m.lose()
			require.Equal(t, c.pool, out.SuccessorPool, out.Steps)
			require.Equal(t, []string{"spot/" + c.pool}, out.Launches, "the others are not asked for")
			successor := f.describe(out.Successor)
			require.Equal(t, c.addresses, aws.ToString(successor.PrivateIpAddress) != "")
			require.Equal(t, !c.addresses, aws.ToString(successor.Ipv6Address) != "")
		})
	}
}

// TestADisabledKey (K2): the successor of an encrypted volume is born dead everywhere; the client
// reads of the key.
func TestADisabledKey(t *testing.T) {
	t.Parallel()

	f := newField(t, ec2sim.Options{Delays: simclient.AWSDelays()})
	m := f.join("web", f.machine(elaborate))
	require.NoError(t, f.sim.ChangeKey(t.Context(), simclient.KeyChange{KeyID: "key-1", State: "Disabled"}))
	out := m.lose()
	require.Empty(t, out.Successor)
	require.LessOrEqual(t, out.Replicas, 3)
	require.Contains(t, out.Notified[len(out.Notified)-1], "KMS key")
}

// TestAFullSubnet (K3): another subnet of the zone comes before another zone.
func TestAFullSubnet(t *testing.T) {
	t.Parallel()

	for name, state := range map[string]string{"full": simclient.SubnetFull, "deleted": simclient.SubnetDeleted} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			f := newField(t, ec2sim.Options{Delays: simclient.AWSDelays()})
			require.NoError(t, f.sim.ChangeSubnet(t.Context(),
				simclient.SubnetChange{Account: fieldAccount, Second: "us-east-1b"}))
			m := f.join("web", f.machine())
			second := ec2sim.SecondSubnetID(fieldAccount, "us-east-1b")
			first := ec2sim.SubnetID(fieldAccount, "us-east-1b")
			for _, id := range []string{first, second} { // whichever is preferred
				if f.list(`SELECT template->'subnets'->'us-east-1b'->>0 FROM launch_templates`)[0] == id {
					require.NoError(t, f.sim.ChangeSubnet(t.Context(), simclient.SubnetChange{
						Account:  fieldAccount,
						SubnetID: id,
						State:    state,
					}))
				}
			}
			out := m.lose()
			require.Equal(t, "m5.large.us-east-1b", out.SuccessorPool, out.Steps)
			require.Len(t, out.Launches, 2)
		})
	}
}

// TestAPersistentRequestEndsWithItsInstance (K6), whether we or AWS end that.
func TestAPersistentRequestEndsWithItsInstance(t *testing.T) {
	t.Parallel()

	f := newField(t, ec2sim.Options{})
	old := f.machine(func(in *ec2.RunInstancesInput) {
		in.InstanceMarketOptions.SpotOptions = &types.SpotMarketOptions{
			SpotInstanceType:             types.SpotInstanceTypePersistent,
			InstanceInterruptionBehavior: types.InstanceInterruptionBehaviorStop,
		}
	})
	m := f.join("web", old)
	require.NoError(t, f.ec2Fleet().Terminate(t.Context(), f.account(), "us-east-1", m.at, time.Time{}))
	_, err := f.sim.Advance(t.Context(), 10*time.Minute)
	require.NoError(t, err)
	found, err := f.ec2.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{})
	require.NoError(t, err)
	require.Len(t, found.Reservations, 1, "nothing was launched again")
}

// TestAnOpenRequestIsCancelled (K6): the instance of a persistent request has ended while its
// pool is empty, so that the request names no instance and would launch some day.
func TestAnOpenRequestIsCancelled(t *testing.T) {
	t.Parallel()

	for name, end := range map[string]func(f *field, id string) error{
		"when its end is seen": func(f *field, id string) error {
			return f.ec2Fleet().CancelRequest(f.t.Context(), f.account(), "us-east-1", id)
		},
		"when we end it": func(f *field, id string) error {
			return f.ec2Fleet().Terminate(f.t.Context(), f.account(), "us-east-1", id, time.Time{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			f := newField(t, ec2sim.Options{})
			m := f.join("web", f.machine(func(in *ec2.RunInstancesInput) {
				in.InstanceMarketOptions.SpotOptions = &types.SpotMarketOptions{
					SpotInstanceType:             types.SpotInstanceTypePersistent,
					InstanceInterruptionBehavior: types.InstanceInterruptionBehaviorStop,
				}
			}))
			pool := simclient.Capacity{Pool: "m5.large.us-east-1a", Limit: 0}
			_, err := f.sim.SetCapacity(t.Context(), pool)
			require.NoError(t, err)
			_, err = f.ec2.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{m.at}})
			require.NoError(t, err)
			_, err = f.sim.Advance(t.Context(), 10*time.Minute)
			require.NoError(t, err)
			require.NoError(t, end(f, m.at))
			pool.Limit = -1
			_, err = f.sim.SetCapacity(t.Context(), pool)
			require.NoError(t, err)
			_, err = f.sim.Advance(t.Context(), time.Hour)
			require.NoError(t, err)
			live, err := f.ec2.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{Filters: []types.Filter{
				{Name: aws.String("instance-state-name"), Values: []string{"pending", "running"}}}})
			require.NoError(t, err)
			require.Empty(t, live.Reservations, "nothing was launched again")
		})
	}
}

// TestALaunchTemplateIsTheSource of what may not be read: user data that is hidden comes
// from the launch template all the same.
func TestALaunchTemplateIsTheSource(t *testing.T) {
	t.Parallel()

	f := newField(t, ec2sim.Options{Delays: simclient.AWSDelays()})
	lt, err := f.ec2.CreateLaunchTemplate(t.Context(), &ec2.CreateLaunchTemplateInput{
		LaunchTemplateName: aws.String("web"),
		LaunchTemplateData: &types.RequestLaunchTemplateData{UserData: aws.String("ZnJvbSB0aGUgdGVtcGxhdGU=")},
	})
	require.NoError(t, err)
	f.fault(simclient.Fault{Action: "DescribeInstanceAttribute", Code: "UnauthorizedOperation"})
	m := f.join("web", f.machine(func(in *ec2.RunInstancesInput) {
		in.UserData, in.LaunchTemplate = nil, &types.LaunchTemplateSpecification{
			LaunchTemplateId: lt.LaunchTemplate.LaunchTemplateId,
			Version:          aws.String("1"),
		}
	}))
	out := m.lose()
	require.NotEmpty(t, out.Successor, out.Steps)
	require.NoError(t, f.sim.ClearFaults(t.Context()))
	data, err := f.ec2.DescribeInstanceAttribute(t.Context(), &ec2.DescribeInstanceAttributeInput{
		InstanceId: &out.Successor,
		Attribute:  types.InstanceAttributeNameUserData,
	})
	require.NoError(t, err)
	require.Equal(t, "ZnJvbSB0aGUgdGVtcGxhdGU=", *data.UserData.Value)
}
