package ec2sim

// ec2Actions is the table of contents of the EC2 API here.
var ec2Actions = map[string]handler{
	"AllocateAddress":               (*call).allocateAddress,
	"AssociateAddress":              (*call).associateAddress,
	"CancelSpotInstanceRequests":    (*call).cancelSpotInstanceRequests,
	"CreateImage":                   (*call).createImage,
	"CreateSecurityGroup":           (*call).createSecurityGroup,
	"CreateSnapshot":                (*call).createSnapshot,
	"CreateTags":                    (*call).createTags,
	"DeleteSnapshot":                (*call).deleteSnapshot,
	"DeleteTags":                    (*call).deleteTags,
	"DeleteVolume":                  (*call).deleteVolume,
	"DeregisterImage":               (*call).deregisterImage,
	"DescribeAddresses":             (*call).describeAddresses,
	"DescribeAvailabilityZones":     (*call).describeAvailabilityZones,
	"DescribeImages":                (*call).describeImages,
	"DescribeInstanceAttribute":     (*call).describeInstanceAttribute,
	"DescribeInstanceStatus":        (*call).describeInstanceStatus,
	"DescribeInstanceTypeOfferings": (*call).describeInstanceTypeOfferings,
	"DescribeInstanceTypes":         (*call).describeInstanceTypes,
	"DescribeInstances":             (*call).describeInstances,
	"DescribeRegions":               (*call).describeRegions,
	"DescribeSecurityGroups":        (*call).describeSecurityGroups,
	"DescribeSnapshots":             (*call).describeSnapshots,
	"DescribeSpotInstanceRequests":  (*call).describeSpotInstanceRequests,
	"DescribeSpotPriceHistory":      (*call).describeSpotPriceHistory,
	"DescribeSubnets":               (*call).describeSubnets,
	"DescribeTags":                  (*call).describeTags,
	"DescribeVolumes":               (*call).describeVolumes,
	"DisassociateAddress":           (*call).disassociateAddress,
	"GetSpotPlacementScores":        (*call).getSpotPlacementScores,
	"ReleaseAddress":                (*call).releaseAddress,
	"RunInstances":                  (*call).runInstances,
	"StartInstances":                (*call).startInstances,
	"StopInstances":                 (*call).stopInstances,
	"TerminateInstances":            (*call).terminateInstances,
}

// stsActions is that of STS.
var stsActions = map[string]handler{
	"AssumeRole":        (*call).assumeRole,
	"GetCallerIdentity": (*call).getCallerIdentity,
}
