package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// FieldFate is what becomes of a field of an original in its twin.
type FieldFate string

// Fates.
const (
	Copied  FieldFate = "copied"  // asked for as it was
	Derived FieldFate = "derived" // follows from something that is copied, or from the place
	Excused FieldFate = "excused" // cannot or must not be the same
)

// TwinField is one field of EC2's description of an instance, and its fate.
type TwinField struct {
	Struct, Field string
	Fate          FieldFate
	To            string // of a copied field: where it goes in RunInstancesInput, a path of names
	Why           string // of another field
}

// TwinFields lists every field of EC2's description of an instance, of what is asked for
// separately (attributes, volumes, interfaces, credits), and what becomes of it in a
// replacement. A test walks the SDK's structs and demands a row for each field. The table
// is docs/twin.md.
var TwinFields = slices.Concat(twinInstance, twinParts, twinVolume, twinInterface)

var twinInstance = rows("Instance", `
AmiLaunchIndex | excused | one instance is launched at a time
Architecture | derived | of the image; other types must have it too
BlockDeviceMappings | copied | BlockDeviceMappings
BootMode | derived | of the image
CapacityBlockId | excused | a block is bought for its instances; told at adoption
CapacityReservationId | excused | open reservations are used by themselves
CapacityReservationSpecification | copied | CapacityReservationSpecification
ClientToken | excused | each launch has its own
CpuOptions | copied | CpuOptions
CurrentInstanceBootMode | derived | of the image
EbsOptimized | copied | EbsOptimized
ElasticGpuAssociations | excused | AWS has ended Elastic Graphics
ElasticInferenceAcceleratorAssociations | excused | AWS has ended Elastic Inference
EnaSupport | derived | of the image
EnclaveOptions | copied | EnclaveOptions
HibernationOptions | copied | HibernationOptions
Hypervisor | derived | of the instance type
IamInstanceProfile | copied | IamInstanceProfile
ImageId | copied | ImageId
InstanceId | excused | EC2 gives it
InstanceLifecycle | derived | of the way it is bought, which the choice of candidates decides
InstanceType | copied | InstanceType
Ipv6Address | derived | as many IPv6 addresses of the new subnet: NetworkInterfaces
KernelId | copied | KernelId
KeyName | copied | KeyName
LaunchTime | excused | the new one's own
Licenses | copied | LicenseSpecifications
MaintenanceOptions | copied | MaintenanceOptions
MetadataOptions | copied | MetadataOptions
Monitoring | copied | Monitoring
NetworkInterfaces | copied | NetworkInterfaces
NetworkPerformanceOptions | copied | NetworkPerformanceOptions
Operator | excused | an instance that another AWS service manages is replaced by that service
OutpostArn | excused | an Outpost has its own capacity; told at adoption
Placement | copied | Placement
Platform | derived | of the image
PlatformDetails | derived | of the image; decides which price list holds
PrivateDnsName | derived | of the new address
PrivateDnsNameOptions | copied | PrivateDnsNameOptions
PrivateIpAddress | excused | an address belongs to one interface, and the old one may still have it
ProductCodes | derived | of the image
PublicDnsName | derived | of the new address
PublicIpAddress | excused | EC2 gives another; an elastic address is told of at adoption
RamdiskId | copied | RamdiskId
RootDeviceName | derived | of the image
RootDeviceType | derived | of the image
SecondaryInterfaces | excused | told at adoption
SecurityGroups | copied | SecurityGroupIds
SourceDestCheck | derived | set by ModifyInstanceAttribute right after the launch
SpotInstanceRequestId | excused | a replacement has its own one-time request; a persistent one of the original is cancelled with its end
SriovNetSupport | derived | of the image
State | excused | what it is doing is not what it is
StateReason | excused | likewise
StateTransitionReason | excused | likewise
SubnetId | copied | SubnetId
Tags | copied | TagSpecifications
TpmSupport | derived | of the image
UsageOperation | derived | of the image
UsageOperationUpdateTime | excused | a moment of the original's life
VirtualizationType | derived | of the image
VpcId | derived | of the subnet`)

var twinParts = slices.Concat(rows("Placement", `
Affinity | excused | goes with a dedicated host
AvailabilityZone | copied | Placement.AvailabilityZone
AvailabilityZoneId | derived | of the zone
GroupId | derived | of the group's name
GroupName | copied | Placement.GroupName
HostId | excused | a replacement runs on any host; told at adoption
HostResourceGroupArn | excused | likewise
PartitionNumber | copied | Placement.PartitionNumber
SpreadDomain | excused | EC2 has reserved it
Tenancy | copied | Placement.Tenancy`), rows("InstanceMetadataOptionsResponse", `
HttpEndpoint | copied | MetadataOptions.HttpEndpoint
HttpProtocolIpv6 | copied | MetadataOptions.HttpProtocolIpv6
HttpPutResponseHopLimit | copied | MetadataOptions.HttpPutResponseHopLimit
HttpTokens | excused | a replacement always requires tokens (IMDSv2), which the policies of the roles demand
InstanceMetadataTags | copied | MetadataOptions.InstanceMetadataTags
State | excused | whether a change of them has been applied`), rows("EnclaveOptions", `
Enabled | copied | EnclaveOptions.Enabled`), rows("HibernationOptions", `
Configured | copied | HibernationOptions.Configured`), rows("InstanceMaintenanceOptions", `
AutoRecovery | copied | MaintenanceOptions.AutoRecovery
RebootMigration | excused | RunInstances does not take it; the default is used`),
	rows("PrivateDnsNameOptionsResponse", `
EnableResourceNameDnsAAAARecord | copied | PrivateDnsNameOptions.EnableResourceNameDnsAAAARecord
EnableResourceNameDnsARecord | copied | PrivateDnsNameOptions.EnableResourceNameDnsARecord
HostnameType | copied | PrivateDnsNameOptions.HostnameType`), rows("CpuOptions", `
AmdSevSnp | copied | CpuOptions.AmdSevSnp
CoreCount | copied | CpuOptions.CoreCount
NestedVirtualization | copied | CpuOptions.NestedVirtualization
ThreadsPerCore | copied | CpuOptions.ThreadsPerCore`), rows("CapacityReservationSpecificationResponse", `
CapacityReservationPreference | copied | CapacityReservationSpecification.CapacityReservationPreference
CapacityReservationTarget | excused | it may be full with the original; told at adoption`),
	rows("InstanceNetworkPerformanceOptions", `
BandwidthWeighting | copied | NetworkPerformanceOptions.BandwidthWeighting`), rows("InstanceCreditSpecification", `
CpuCredits | copied | CreditSpecification.CpuCredits
InstanceId | excused | it says whose answer this is`), rows("DescribeInstanceAttributeOutput", `
BlockDeviceMappings | derived | DescribeInstances shows it
DisableApiStop | copied | DisableApiStop
DisableApiTermination | excused | a replacement has to be ended when it is replaced; told at adoption
EbsOptimized | derived | DescribeInstances shows it
EnaSupport | derived | of the image
EnclaveOptions | derived | DescribeInstances shows it
Groups | derived | DescribeInstances shows it
InstanceId | excused | it says whose answer this is
InstanceInitiatedShutdownBehavior | copied | InstanceInitiatedShutdownBehavior
InstanceType | derived | DescribeInstances shows it
KernelId | derived | DescribeInstances shows it
ProductCodes | derived | of the image
RamdiskId | derived | DescribeInstances shows it
ResultMetadata | excused | the SDK's own
RootDeviceName | derived | of the image
SourceDestCheck | derived | DescribeInstances shows it
SriovNetSupport | derived | of the image
UserData | copied | UserData`))

var twinVolume = slices.Concat(rows("EbsInstanceBlockDevice", `
AssociatedResource | excused | a service that manages the volume
AttachTime | excused | a moment of the original's life
DeleteOnTermination | copied | BlockDeviceMappings.0.Ebs.DeleteOnTermination
EbsCardIndex | excused | EC2 chooses the card
Operator | excused | a service that manages the volume
Status | excused | what it is doing is not what it is
VolumeId | excused | EC2 gives it
VolumeOwnerId | excused | the account`), rows("Volume", `
Attachments | derived | DescribeInstances shows the device
AvailabilityZone | derived | of the new instance
AvailabilityZoneId | derived | of the new instance
CreateTime | excused | a moment of the original's life
Encrypted | copied | BlockDeviceMappings.0.Ebs.Encrypted
FastRestored | excused | a property of the snapshot
Iops | copied | BlockDeviceMappings.0.Ebs.Iops
KmsKeyId | copied | BlockDeviceMappings.0.Ebs.KmsKeyId
MultiAttachEnabled | excused | a shared volume stays with the others that share it; told at adoption
Operator | excused | a service that manages the volume
OutpostArn | excused | told at adoption
OwnerId | excused | the account
Size | copied | BlockDeviceMappings.0.Ebs.VolumeSize
SnapshotId | copied | BlockDeviceMappings.1.Ebs.SnapshotId
SourceVolumeId | excused | what it was copied from
SseType | derived | of encryption and key
State | excused | what it is doing is not what it is
Tags | derived | of the instance
Throughput | copied | BlockDeviceMappings.1.Ebs.Throughput
VolumeArn | excused | EC2 gives it
VolumeId | excused | EC2 gives it
VolumeInitializationRate | excused | it costs money for each launch; the default is used
VolumeType | copied | BlockDeviceMappings.0.Ebs.VolumeType`))

var twinInterface = slices.Concat(rows("InstanceNetworkInterface", `
Association | copied | NetworkInterfaces.0.AssociatePublicIpAddress
Attachment | copied | NetworkInterfaces.0.DeviceIndex
ConnectionTrackingConfiguration | excused | EC2's time-outs are used
Description | copied | NetworkInterfaces.0.Description
Groups | copied | NetworkInterfaces.0.Groups
InterfaceType | copied | NetworkInterfaces.0.InterfaceType
Ipv4Prefixes | copied | NetworkInterfaces.0.Ipv4PrefixCount
Ipv6Addresses | copied | NetworkInterfaces.0.Ipv6AddressCount
Ipv6Prefixes | copied | NetworkInterfaces.0.Ipv6PrefixCount
MacAddress | excused | EC2 gives it
NetworkInterfaceId | excused | EC2 gives it; one that outlives its instance is told of at adoption
Operator | excused | a service that manages the interface
OwnerId | excused | the account
PrivateDnsName | derived | of the new address
PrivateIpAddress | excused | an address belongs to one interface
PrivateIpAddresses | copied | NetworkInterfaces.0.SecondaryPrivateIpAddressCount
SourceDestCheck | derived | as the instance's
Status | excused | what it is doing is not what it is
SubnetId | copied | NetworkInterfaces.0.SubnetId
VpcId | derived | of the subnet`), rows("InstanceNetworkInterfaceAttachment", `
AttachTime | excused | a moment of the original's life
AttachmentId | excused | EC2 gives it
DeleteOnTermination | excused | what a launch makes ends with its instance; an interface that stays is told of at adoption
DeviceIndex | copied | NetworkInterfaces.0.DeviceIndex
EnaQueueCount | excused | EC2's number for the type is used
EnaSrdSpecification | excused | EC2's default is used
NetworkCardIndex | copied | NetworkInterfaces.0.NetworkCardIndex
Status | excused | what it is doing is not what it is`))

// rows reads lines of "field | fate | path or reason".
func rows(of, text string) []TwinField {
	var out []TwinField
	for line := range strings.Lines(strings.TrimSpace(text)) {
		part := strings.SplitN(strings.TrimSpace(line), " | ", 3)
		f := TwinField{Struct: of, Field: part[0], Fate: FieldFate(part[1]), Why: part[2]}
		if f.Fate == Copied {
			f.To, f.Why = part[2], ""
		}
		out = append(out, f)
	}
	return out
}

// TwinDocument is docs/twin.md.
func TwinDocument() string {
	count := map[FieldFate]int{}
	for _, f := range TwinFields {
		count[f.Fate]++
	}
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, `# What a replacement has of its original

This page is generated by `+"`make generate`"+
		` from the table in internal/fleet/twin.go. A test demands a row for every field of the
EC2 SDK's description of an instance and of what is asked for separately.

A copied field is asked for as it was, at the path of RunInstances that is named. A derived one follows from something that is copied or
from the new place. An excused one cannot or must not be the same. What differs on a replacement is listed on its operation; what cannot be
copied is told when the instance is adopted, and by the preflight.

Of %d fields %d are copied, %d derived and %d excused.
`, len(TwinFields), count[Copied], count[Derived], count[Excused])
	last := ""
	for _, f := range TwinFields {
		if f.Struct != last {
			last = f.Struct
			_, _ = fmt.Fprintf(&b, "\n## %s\n\n| field | fate | where to, or why |\n|---|---|---|\n", f.Struct)
		}
		_, _ = fmt.Fprintf(&b, "| %s | %s | %s |\n", f.Field, f.Fate, cmp.Or(f.To, f.Why))
	}
	return b.String()
}
