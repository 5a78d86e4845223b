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

func TestImagesTakeTimeAndTheirNameOnce(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{Delays: simclient.Delays{Image: 60}})
	id := c.launch(t, order("t", zoneA))
	in := &ec2.CreateImageInput{
		InstanceId: aws.String(id), Name: aws.String("agent-7"), NoReboot: aws.Bool(true),
		TagSpecifications: []types.TagSpecification{{
			ResourceType: types.ResourceTypeImage,
			Tags:         []types.Tag{{Key: aws.String("agent"), Value: aws.String("7")}},
		}},
	}
	made, err := c.CreateImage(t.Context(), in)
	require.NoError(t, err)
	_, err = c.CreateImage(t.Context(), in)
	refused(t, err, "InvalidAMIName.Duplicate", http.StatusBadRequest)

	image := func() types.Image {
		out, err := c.DescribeImages(t.Context(), &ec2.DescribeImagesInput{
			Owners:  []string{"self"},
			Filters: []types.Filter{filter("tag:agent", "7")},
		})
		require.NoError(t, err)
		require.Len(t, out.Images, 1)
		return out.Images[0]
	}
	require.Equal(t, types.ImageStatePending, image().State)
	launch := order("from", zoneA)
	launch.ImageId = made.ImageId
	_, err = c.RunInstances(t.Context(), launch)
	refused(t, err, "InvalidAMIID.Unavailable", http.StatusBadRequest)
	c.advance(t, time.Minute)
	require.Equal(t, types.ImageStateAvailable, image().State)
	c.launch(t, launch)

	snap := image().BlockDeviceMappings[0].Ebs.SnapshotId
	shots, err := c.DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{
		OwnerIds: []string{"self"},
		Filters:  []types.Filter{filter("status", "completed")},
	})
	require.NoError(t, err)
	require.Len(t, shots.Snapshots, 1)
	require.Equal(t, snap, shots.Snapshots[0].SnapshotId)
	_, err = c.DeleteSnapshot(t.Context(), &ec2.DeleteSnapshotInput{SnapshotId: snap})
	refused(t, err, "InvalidSnapshot.InUse", http.StatusBadRequest)
	_, err = c.as(other, east).DeregisterImage(t.Context(), &ec2.DeregisterImageInput{ImageId: made.ImageId})
	refused(t, err, "InvalidAMIID.NotFound", http.StatusBadRequest)
	_, err = c.DeregisterImage(t.Context(), &ec2.DeregisterImageInput{ImageId: made.ImageId})
	require.NoError(t, err)
	_, err = c.DeleteSnapshot(t.Context(), &ec2.DeleteSnapshotInput{SnapshotId: snap})
	require.NoError(t, err)
	_, err = c.DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{SnapshotIds: []string{*snap}})
	refused(t, err, "InvalidSnapshot.NotFound", http.StatusBadRequest)

	public, err := c.DescribeImages(t.Context(), &ec2.DescribeImagesInput{
		Owners:  []string{"137112412989"},
		Filters: []types.Filter{filter("architecture", "arm64")},
	})
	require.NoError(t, err)
	require.Equal(t, simclient.PublicImage(east, "arm64"), *public.Images[0].ImageId)
	_, err = c.DeregisterImage(t.Context(), &ec2.DeregisterImageInput{ImageId: public.Images[0].ImageId})
	refused(t, err, "AuthFailure", http.StatusUnauthorized)
}

func TestVolumes(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	keep := order("keep", zoneA)
	keep.BlockDeviceMappings = []types.BlockDeviceMapping{{
		DeviceName: aws.String("/dev/xvda"),
		Ebs:        &types.EbsBlockDevice{DeleteOnTermination: aws.Bool(false)},
	}}
	kept, lost := c.launch(t, keep), c.launch(t, order("lose", zoneA))
	attached, err := c.DescribeVolumes(t.Context(),
		&ec2.DescribeVolumesInput{Filters: []types.Filter{filter("attachment.instance-id", kept)}})
	require.NoError(t, err)
	require.Equal(t, types.VolumeStateInUse, attached.Volumes[0].State)
	id := attached.Volumes[0].VolumeId
	shot, err := c.CreateSnapshot(t.Context(), &ec2.CreateSnapshotInput{
		VolumeId:    id,
		Description: aws.String("before"),
	})
	require.NoError(t, err)
	require.Equal(t, id, shot.VolumeId)
	_, err = c.DeleteVolume(t.Context(), &ec2.DeleteVolumeInput{VolumeId: id})
	refused(t, err, "VolumeInUse", http.StatusBadRequest)
	_, err = c.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{kept, lost}})
	require.NoError(t, err)
	left, err := c.DescribeVolumes(t.Context(), &ec2.DescribeVolumesInput{})
	require.NoError(t, err)
	require.Len(t, left.Volumes, 1)
	require.Equal(t, types.VolumeStateAvailable, left.Volumes[0].State)
	_, err = c.DeleteVolume(t.Context(), &ec2.DeleteVolumeInput{VolumeId: id})
	require.NoError(t, err)
	_, err = c.DescribeVolumes(t.Context(), &ec2.DescribeVolumesInput{VolumeIds: []string{*id}})
	refused(t, err, "InvalidVolume.NotFound", http.StatusBadRequest)
}

func TestAddressesMoveBetweenInstances(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	old, successor := c.launch(t, order("old", zoneA)), c.launch(t, order("heir", zoneB))
	a, err := c.AllocateAddress(t.Context(), &ec2.AllocateAddressInput{Domain: types.DomainTypeVpc})
	require.NoError(t, err)
	_, err = c.AssociateAddress(t.Context(), &ec2.AssociateAddressInput{
		AllocationId: a.AllocationId,
		InstanceId:   aws.String(old),
	})
	require.NoError(t, err)
	require.Equal(t, a.PublicIp, c.describe(t, old).PublicIpAddress)
	_, err = c.AssociateAddress(t.Context(), &ec2.AssociateAddressInput{
		AllocationId:       a.AllocationId,
		InstanceId:         aws.String(successor),
		AllowReassociation: aws.Bool(false),
	})
	refused(t, err, "Resource.AlreadyAssociated", http.StatusBadRequest)
	moved, err := c.AssociateAddress(t.Context(), &ec2.AssociateAddressInput{
		AllocationId:       a.AllocationId,
		InstanceId:         aws.String(successor),
		AllowReassociation: aws.Bool(true),
	})
	require.NoError(t, err)
	again, err := c.AssociateAddress(t.Context(), &ec2.AssociateAddressInput{
		AllocationId: a.AllocationId,
		InstanceId:   aws.String(successor),
	})
	require.NoError(t, err)
	require.Equal(t, moved.AssociationId, again.AssociationId)
	list, err := c.DescribeAddresses(t.Context(),
		&ec2.DescribeAddressesInput{Filters: []types.Filter{filter("instance-id", successor)}})
	require.NoError(t, err)
	require.Len(t, list.Addresses, 1)
	_, err = c.ReleaseAddress(t.Context(), &ec2.ReleaseAddressInput{AllocationId: a.AllocationId})
	refused(t, err, "InvalidIPAddress.InUse", http.StatusBadRequest)
	_, err = c.DisassociateAddress(t.Context(), &ec2.DisassociateAddressInput{AssociationId: moved.AssociationId})
	require.NoError(t, err)
	require.NotEqual(t, a.PublicIp, c.describe(t, successor).PublicIpAddress)
	_, err = c.ReleaseAddress(t.Context(), &ec2.ReleaseAddressInput{AllocationId: a.AllocationId})
	require.NoError(t, err)
	_, err = c.AssociateAddress(t.Context(), &ec2.AssociateAddressInput{
		AllocationId: a.AllocationId,
		InstanceId:   aws.String(successor),
	})
	refused(t, err, "InvalidAllocationID.NotFound", http.StatusBadRequest)
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	zones, err := c.DescribeAvailabilityZones(t.Context(),
		&ec2.DescribeAvailabilityZonesInput{Filters: []types.Filter{filter("state", "available")}})
	require.NoError(t, err)
	require.Len(t, zones.AvailabilityZones, 6)
	require.Equal(t, zoneA, *zones.AvailabilityZones[0].ZoneName)
	require.Equal(t, types.AvailabilityZoneStateAvailable, zones.AvailabilityZones[0].State)
	regions, err := c.DescribeRegions(t.Context(), &ec2.DescribeRegionsInput{})
	require.NoError(t, err)
	require.Len(t, regions.Regions, 3)
	subnets, err := c.DescribeSubnets(t.Context(),
		&ec2.DescribeSubnetsInput{Filters: []types.Filter{filter("availability-zone", zoneB)}})
	require.NoError(t, err)
	require.Equal(t, ec2sim.SubnetID(account, zoneB), *subnets.Subnets[0].SubnetId)
	infos, err := c.DescribeInstanceTypes(t.Context(),
		&ec2.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{"m5.large", "t4g.micro"}})
	require.NoError(t, err)
	require.EqualValues(t, 2, *infos.InstanceTypes[0].VCpuInfo.DefaultVCpus)
	require.EqualValues(t, 8192, *infos.InstanceTypes[0].MemoryInfo.SizeInMiB)
	require.Equal(t, []types.ArchitectureType{types.ArchitectureTypeArm64},
		infos.InstanceTypes[1].ProcessorInfo.SupportedArchitectures)
	_, err = c.DescribeInstanceTypes(t.Context(),
		&ec2.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{"x9.huge"}})
	refused(t, err, "InvalidInstanceType", http.StatusBadRequest)
	offers, err := c.DescribeInstanceTypeOfferings(t.Context(), &ec2.DescribeInstanceTypeOfferingsInput{
		LocationType: types.LocationTypeAvailabilityZone,
		Filters:      []types.Filter{filter("instance-type", "m5.large")},
	})
	require.NoError(t, err)
	require.Len(t, offers.InstanceTypeOfferings, 6)
	group, err := c.CreateSecurityGroup(t.Context(), &ec2.CreateSecurityGroupInput{
		GroupName:   aws.String("web"),
		Description: aws.String("d"),
	})
	require.NoError(t, err)
	groups, err := c.DescribeSecurityGroups(t.Context(),
		&ec2.DescribeSecurityGroupsInput{GroupIds: []string{*group.GroupId}})
	require.NoError(t, err)
	require.Equal(t, "web", *groups.SecurityGroups[0].GroupName)
	in := order("t", zoneA)
	in.SecurityGroupIds = []string{*group.GroupId}
	require.Equal(t, group.GroupId, c.describe(t, c.launch(t, in)).SecurityGroups[0].GroupId)
}

func TestPlacementScores(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	_, err := c.ctl.SetCapacity(t.Context(), simclient.Capacity{Pool: poolA, Limit: 2})
	require.NoError(t, err)
	out, err := c.GetSpotPlacementScores(t.Context(), &ec2.GetSpotPlacementScoresInput{
		InstanceTypes:          []string{"m5.large"},
		TargetCapacity:         aws.Int32(3),
		RegionNames:            []string{east},
		SingleAvailabilityZone: aws.Bool(true),
	})
	require.NoError(t, err)
	require.Len(t, out.SpotPlacementScores, 6)
	require.EqualValues(t, 1, *out.SpotPlacementScores[0].Score)
	require.Greater(t, *out.SpotPlacementScores[1].Score, int32(1))
}

func TestCancelledRequestsLeaveTheInstance(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{})
	id := c.launch(t, order("t", zoneA))
	request := *c.describe(t, id).SpotInstanceRequestId
	out, err := c.CancelSpotInstanceRequests(t.Context(),
		&ec2.CancelSpotInstanceRequestsInput{SpotInstanceRequestIds: []string{request}})
	require.NoError(t, err)
	require.Equal(t, types.CancelSpotInstanceRequestStateCancelled, out.CancelledSpotInstanceRequests[0].State)
	require.Equal(t, types.InstanceStateNameRunning, c.state(t, id))
	_, err = c.CancelSpotInstanceRequests(t.Context(),
		&ec2.CancelSpotInstanceRequestsInput{SpotInstanceRequestIds: []string{"sir-none"}})
	refused(t, err, "InvalidSpotInstanceRequestID.NotFound", http.StatusBadRequest)
}
