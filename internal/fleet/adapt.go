package fleet

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/replica"
)

// burstable matches the instance types with CPU credits: t2, t3, t3a, t4g and their like.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/burstable-performance-instances.html
var burstable = regexp.MustCompile(`^t\d+[a-z]*\.`)

// adapt returns what can be asked for in another place, type and mode, and says in words
// what cannot.
func (d Description) adapt(from string, where replica.Candidate) (out Description, without []string) {
	out = d
	out.NotCopied, out.Unread, out.SpotRequest = nil, nil, nil
	drop := func(what string, args ...any) { without = append(without, fmt.Sprintf(what, args...)) }
	spot := where.Mode == agent.Spot
	switch {
	case d.Credits == "" || burstable.MatchString(where.InstanceType):
	default:
		out.Credits = ""
		drop("%s has no CPU credits", where.InstanceType)
	}
	if from != where.InstanceType {
		if d.CPU != nil && (d.CPU.Threads == 1 || d.CPU.SEVSNP != "" || d.CPU.Nested != "") {
			drop("the CPU options of %s are not those of %s", from, where.InstanceType)
		}
		out.CPU, out.Bandwidth = nil, ""
	}
	if spot {
		if d.Hibernation {
			drop("it cannot hibernate: a spot request that lasts would launch again by itself")
		}
		if d.ProtectStop {
			drop("it is not protected against a stop: EC2 does not offer that for spot")
		}
		if d.Tenancy == "host" {
			drop("it runs on no dedicated host: EC2 does not offer that for spot")
			out.Tenancy = ""
		}
		out.Hibernation, out.ProtectStop, out.Shutdown, out.Reservation = false, false, "", ""
	}
	return out, without
}

// fill puts the description into a request to EC2.
func (d Description) fill(in *ec2.RunInstancesInput) {
	in.KernelId, in.RamdiskId = optional(d.Kernel), optional(d.Ramdisk)
	for _, v := range d.Volumes {
		in.BlockDeviceMappings = append(in.BlockDeviceMappings, v.mapping())
	}
	if d.Credits != "" {
		in.CreditSpecification = &types.CreditSpecificationRequest{CpuCredits: aws.String(d.Credits)}
	}
	if d.Monitoring {
		in.Monitoring = &types.RunInstancesMonitoringEnabled{Enabled: aws.Bool(true)}
	}
	if d.Tenancy != "" {
		in.Placement.Tenancy = types.Tenancy(d.Tenancy)
	}
	in.Placement.GroupName = optional(d.PlacementGroup)
	if d.Partition > 0 {
		in.Placement.PartitionNumber = aws.Int32(d.Partition)
	}
	if d.ProtectStop {
		in.DisableApiStop = aws.Bool(true)
	}
	in.InstanceInitiatedShutdownBehavior = types.ShutdownBehavior(d.Shutdown)
	if d.Enclave {
		in.EnclaveOptions = &types.EnclaveOptionsRequest{Enabled: aws.Bool(true)}
	}
	if d.Hibernation {
		in.HibernationOptions = &types.HibernationOptionsRequest{Configured: aws.Bool(true)}
	}
	if d.AutoRecovery != "" {
		in.MaintenanceOptions = &types.InstanceMaintenanceOptionsRequest{AutoRecovery: types.InstanceAutoRecoveryState(
			d.AutoRecovery)}
	}
	if d.Reservation != "" {
		in.CapacityReservationSpecification = &types.CapacityReservationSpecification{
			CapacityReservationPreference: types.CapacityReservationPreference(d.Reservation)}
	}
	for _, arn := range d.Licenses {
		in.LicenseSpecifications = append(in.LicenseSpecifications,
			types.LicenseConfigurationRequest{LicenseConfigurationArn: aws.String(arn)})
	}
	if d.Bandwidth != "" {
		in.NetworkPerformanceOptions = &types.InstanceNetworkPerformanceOptionsRequest{
			BandwidthWeighting: types.InstanceBandwidthWeighting(d.Bandwidth),
		}
	}
	if s := d.LaunchTemplate; s != nil {
		in.LaunchTemplate = &types.LaunchTemplateSpecification{
			LaunchTemplateId: aws.String(s.ID),
			Version:          optional(s.Version),
		}
	}
	d.fillOptions(in)
	d.fillInterfaces(in)
}

func (d Description) fillOptions(in *ec2.RunInstancesInput) {
	if n := d.HostNames; n != nil {
		in.PrivateDnsNameOptions = &types.PrivateDnsNameOptionsRequest{HostnameType: types.HostnameType(n.Type),
			EnableResourceNameDnsARecord: aws.Bool(n.A), EnableResourceNameDnsAAAARecord: aws.Bool(n.AAAA)}
	}
	if c := d.CPU; c != nil && c.Cores > 0 {
		in.CpuOptions = &types.CpuOptionsRequest{
			CoreCount:            aws.Int32(c.Cores),
			ThreadsPerCore:       aws.Int32(max(c.Threads, 1)),
			AmdSevSnp:            types.AmdSevSnpSpecification(c.SEVSNP),
			NestedVirtualization: types.NestedVirtualizationSpecification(c.Nested),
		}
	}
	m := d.Metadata
	if m == nil {
		return
	}
	if m.Off {
		in.MetadataOptions.HttpEndpoint = types.InstanceMetadataEndpointStateDisabled
	}
	if m.IPv6 {
		in.MetadataOptions.HttpProtocolIpv6 = types.InstanceMetadataProtocolStateEnabled
	}
	if m.Tags {
		in.MetadataOptions.InstanceMetadataTags = types.InstanceMetadataTagsStateEnabled
	}
}

// fillInterfaces names the interfaces where EC2 would not make them so by itself. Subnet
// and groups then belong to them.
func (d Description) fillInterfaces(in *ec2.RunInstancesInput) {
	for _, n := range d.Interfaces {
		spec := types.InstanceNetworkInterfaceSpecification{
			DeviceIndex:                    aws.Int32(n.Device),
			SubnetId:                       in.SubnetId,
			Groups:                         slices.Clone(n.Groups),
			Description:                    optional(n.Description),
			InterfaceType:                  optional(n.Type),
			DeleteOnTermination:            aws.Bool(true),
			Ipv6AddressCount:               count(n.IPv6),
			SecondaryPrivateIpAddressCount: count(n.Secondary),
			Ipv4PrefixCount:                count(n.IPv4Prefixes),
			Ipv6PrefixCount:                count(n.IPv6Prefixes),
			NetworkCardIndex:               count(n.Card),
		}
		if len(d.Interfaces) == 1 { // EC2 gives a public address with a single interface only
			spec.AssociatePublicIpAddress = aws.Bool(n.Public)
		}
		in.NetworkInterfaces = append(in.NetworkInterfaces, spec)
	}
	if len(in.NetworkInterfaces) > 0 {
		in.SubnetId, in.SecurityGroupIds = nil, nil
	}
}

func count(n int32) *int32 {
	if n == 0 {
		return nil
	}
	return &n
}

// mapping is the volume as a launch asks for it. EC2 refuses rates for types that have
// none, and a key for a volume that is not encrypted.
func (v Volume) mapping() types.BlockDeviceMapping {
	ebs := &types.EbsBlockDevice{
		DeleteOnTermination: aws.Bool(!v.Keep),
		VolumeSize:          count(v.GiB),
		VolumeType:          types.VolumeType(v.Type),
		SnapshotId:          optional(v.SnapshotID),
	}
	switch types.VolumeType(v.Type) {
	case types.VolumeTypeGp3:
		ebs.Iops, ebs.Throughput = count(v.IOPS), count(v.Throughput)
	case types.VolumeTypeIo1, types.VolumeTypeIo2:
		ebs.Iops = count(v.IOPS)
	}
	if v.Encrypted {
		ebs.Encrypted, ebs.KmsKeyId = aws.Bool(true), optional(v.KMSKeyID)
	}
	return types.BlockDeviceMapping{DeviceName: aws.String(v.Device), Ebs: ebs}
}
