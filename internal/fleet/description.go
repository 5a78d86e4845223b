package fleet

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Description is what makes an instance what it is, besides image, network and place. A
// template holds it as EC2 describes the original, a launch request as it is asked for.
// Empty members are EC2's defaults. Twin, in twin.go, lists every field of EC2's own
// description with its fate.
type Description struct {
	Product        string         `json:"product,omitempty"`     // as the price list says it: Linux/UNIX, Windows, …
	RootDevice     string         `json:"root_device,omitempty"` // /dev/xvda
	Volumes        []Volume       `json:"volumes,omitempty"`
	Credits        string         `json:"credits,omitempty"` // of a burstable type: standard or unlimited
	Monitoring     bool           `json:"monitoring,omitempty"`
	Metadata       *Metadata      `json:"metadata,omitempty"` // nil: tokens are required
	Tenancy        string         `json:"tenancy,omitempty"`  // dedicated or host
	PlacementGroup string         `json:"placement_group,omitempty"`
	Partition      int32          `json:"partition,omitempty"`
	ProtectStop    bool           `json:"protect_stop,omitempty"`
	Shutdown       string         `json:"shutdown,omitempty"` // what a shutdown from inside does: stop or terminate
	Enclave        bool           `json:"enclave,omitempty"`
	Hibernation    bool           `json:"hibernation,omitempty"`
	AutoRecovery   string         `json:"auto_recovery,omitempty"`
	HostNames      *HostNames     `json:"host_names,omitempty"`
	CPU            *CPU           `json:"cpu,omitempty"` // nil: all cores and threads of the type
	Reservation    string         `json:"reservation,omitempty"`
	Licenses       []string       `json:"licenses,omitempty"` // ARNs
	Bandwidth      string         `json:"bandwidth,omitempty"`
	Kernel         string         `json:"kernel,omitempty"`
	Ramdisk        string         `json:"ramdisk,omitempty"`
	Interfaces     []Interface    `json:"interfaces,omitempty"` // empty: one, as subnet and groups make it
	NoSourceCheck  bool           `json:"no_source_check,omitempty"`
	LaunchTemplate *LaunchSource  `json:"launch_template,omitempty"`
	SpotRequest    *SpotRequestOf `json:"spot_request,omitempty"` // of the original; never asked for
	// NotCopied says in words what a replacement cannot have, and Unread what could not be
	// read, for want of a permission as a rule.
	NotCopied []string `json:"not_copied,omitempty"`
	Unread    []string `json:"unread,omitempty"`
}

// Volume is one EBS volume, by its device.
type Volume struct {
	Device     string `json:"device"`
	GiB        int32  `json:"gib,omitempty"`
	Type       string `json:"type,omitempty"`
	IOPS       int32  `json:"iops,omitempty"`
	Throughput int32  `json:"throughput,omitempty"` // MiB per second
	Encrypted  bool   `json:"encrypted,omitempty"`
	KMSKeyID   string `json:"kms_key_id,omitempty"`
	Keep       bool   `json:"keep,omitempty"` // outlives the instance
	// SnapshotID is set for a data volume that was made from a snapshot which the image
	// does not bring.
	SnapshotID string `json:"snapshot_id,omitempty"`
}

// Metadata is how the instance metadata service answers.
type Metadata struct {
	Tokens string `json:"tokens,omitempty"` // required or optional
	Off    bool   `json:"off,omitempty"`
	IPv6   bool   `json:"ipv6,omitempty"`
	Tags   bool   `json:"tags,omitempty"`
}

// HostNames is how the instance is named in its network.
type HostNames struct {
	Type string `json:"type,omitempty"`
	A    bool   `json:"a,omitempty"`
	AAAA bool   `json:"aaaa,omitempty"`
}

// CPU restricts the cores and threads of a type.
type CPU struct {
	Cores   int32  `json:"cores,omitempty"`
	Threads int32  `json:"threads,omitempty"`
	SEVSNP  string `json:"sev_snp,omitempty"`
	Nested  string `json:"nested,omitempty"`
}

// Interface is one network interface.
type Interface struct {
	Device       int32    `json:"device"`
	Card         int32    `json:"card,omitempty"`
	Type         string   `json:"type,omitempty"` // efa, …; empty: interface
	Groups       []string `json:"groups,omitempty"`
	Public       bool     `json:"public,omitempty"` // has a public address
	Description  string   `json:"description,omitempty"`
	IPv6         int32    `json:"ipv6,omitempty"`      // addresses
	Secondary    int32    `json:"secondary,omitempty"` // private IPv4 addresses besides the first
	IPv4Prefixes int32    `json:"ipv4_prefixes,omitempty"`
	IPv6Prefixes int32    `json:"ipv6_prefixes,omitempty"`
}

// plain says whether EC2 makes the interface by itself from subnet and groups.
func (i Interface) plain() bool {
	return i.Device == 0 && i.Card == 0 && i.Type == "" && i.Description == "" &&
		i.IPv6+i.Secondary+i.IPv4Prefixes+i.IPv6Prefixes == 0
}

// LaunchSource is the EC2 launch template that an instance came from.
type LaunchSource struct {
	ID      string `json:"id"`
	Version string `json:"version"`
}

// SpotRequestOf is the spot request behind an instance.
type SpotRequestOf struct {
	ID         string `json:"id"`
	Persistent bool   `json:"persistent,omitempty"`
}

// sources are the answers of EC2 that a description is made from.
type sources struct {
	instance   types.Instance
	attributes ec2.DescribeInstanceAttributeOutput // several answers in one
	volumes    map[string]types.Volume
	image      *types.Image
	credits    string
	spot       *types.SpotInstanceRequest
	unread     []string
}

// describe turns EC2's answers about an instance into a description. It is pure.
func describe(s sources) Description {
	i := s.instance
	d := Description{
		Product: aws.ToString(i.PlatformDetails), RootDevice: aws.ToString(i.RootDeviceName), Credits: s.credits,
		Monitoring: i.Monitoring != nil &&
			(i.Monitoring.State == types.MonitoringStateEnabled || i.Monitoring.State == types.MonitoringStatePending),
		Kernel: aws.ToString(i.KernelId), Ramdisk: aws.ToString(i.RamdiskId),
		Enclave:       i.EnclaveOptions != nil && aws.ToBool(i.EnclaveOptions.Enabled),
		Hibernation:   i.HibernationOptions != nil && aws.ToBool(i.HibernationOptions.Configured),
		NoSourceCheck: i.SourceDestCheck != nil && !*i.SourceDestCheck,
		Unread:        slices.Clone(s.unread),
	}
	if v := s.attributes.InstanceInitiatedShutdownBehavior; v != nil {
		d.Shutdown = aws.ToString(v.Value)
	}
	if v := s.attributes.DisableApiStop; v != nil {
		d.ProtectStop = aws.ToBool(v.Value)
	}
	if v := s.attributes.DisableApiTermination; v != nil && aws.ToBool(v.Value) {
		d.NotCopied = append(d.NotCopied,
			"its protection against termination: a replacement has to be ended when it is replaced")
	}
	d.placement(i.Placement)
	d.options(i)
	for _, l := range i.Licenses {
		d.Licenses = append(d.Licenses, aws.ToString(l.LicenseConfigurationArn))
	}
	d.volumes(s)
	d.interfaces(i)
	d.sourced(i.Tags)
	if i.OutpostArn != nil {
		d.NotCopied = append(d.NotCopied, "its place on an Outpost")
	}
	if i.CapacityBlockId != nil {
		d.NotCopied = append(d.NotCopied, "its capacity block")
	}
	if len(i.SecondaryInterfaces) > 0 {
		d.NotCopied = append(d.NotCopied, "its secondary network interfaces")
	}
	if s.spot != nil {
		d.SpotRequest = &SpotRequestOf{
			ID:         aws.ToString(s.spot.SpotInstanceRequestId),
			Persistent: s.spot.Type == types.SpotInstanceTypePersistent,
		}
	} else if i.SpotInstanceRequestId != nil {
		d.SpotRequest = &SpotRequestOf{ID: *i.SpotInstanceRequestId}
	}
	return d
}

func (d *Description) placement(p *types.Placement) {
	if p == nil {
		return
	}
	if p.Tenancy != types.TenancyDefault {
		d.Tenancy = string(p.Tenancy)
	}
	d.PlacementGroup, d.Partition = aws.ToString(p.GroupName), aws.ToInt32(p.PartitionNumber)
	if p.HostId != nil || p.HostResourceGroupArn != nil {
		d.NotCopied = append(d.NotCopied, "its dedicated host: a replacement runs on any host")
		d.Tenancy = ""
	}
}

func (d *Description) options(i types.Instance) {
	if m := i.MetadataOptions; m != nil {
		d.Metadata = &Metadata{
			Tokens: string(m.HttpTokens),
			Off:    m.HttpEndpoint == types.InstanceMetadataEndpointStateDisabled,
			IPv6:   m.HttpProtocolIpv6 == types.InstanceMetadataProtocolStateEnabled,
			Tags:   m.InstanceMetadataTags == types.InstanceMetadataTagsStateEnabled,
		}
	}
	if m := i.MaintenanceOptions; m != nil {
		d.AutoRecovery = withoutDefault(string(m.AutoRecovery))
	}
	if n := i.PrivateDnsNameOptions; n != nil {
		d.HostNames = &HostNames{
			Type: string(n.HostnameType),
			A:    aws.ToBool(n.EnableResourceNameDnsARecord),
			AAAA: aws.ToBool(n.EnableResourceNameDnsAAAARecord),
		}
	}
	if c := i.CpuOptions; c != nil {
		d.CPU = &CPU{
			Cores:   aws.ToInt32(c.CoreCount),
			Threads: aws.ToInt32(c.ThreadsPerCore),
			SEVSNP:  string(c.AmdSevSnp),
			Nested:  string(c.NestedVirtualization),
		}
	}
	if r := i.CapacityReservationSpecification; r != nil {
		d.Reservation = string(r.CapacityReservationPreference)
		if r.CapacityReservationTarget != nil {
			d.Reservation = ""
			d.NotCopied = append(d.NotCopied, "its targeted capacity reservation: a replacement uses open ones")
		}
	}
	if n := i.NetworkPerformanceOptions; n != nil {
		d.Bandwidth = withoutDefault(string(n.BandwidthWeighting))
	}
}

func withoutDefault(s string) string {
	if s == "default" {
		return ""
	}
	return s
}

// volumes takes in the volumes by their devices. What is on a data volume is not copied:
// a replacement gets what the image or the snapshot brings.
func (d *Description) volumes(s sources) {
	fromImage := map[string]string{}
	if s.image != nil {
		for _, m := range s.image.BlockDeviceMappings {
			if m.Ebs != nil {
				fromImage[aws.ToString(m.DeviceName)] = aws.ToString(m.Ebs.SnapshotId)
			}
		}
	}
	for _, m := range s.instance.BlockDeviceMappings {
		if m.Ebs == nil {
			continue
		}
		device := aws.ToString(m.DeviceName)
		raw, read := s.volumes[aws.ToString(m.Ebs.VolumeId)]
		if !read {
			continue
		}
		v := Volume{
			Device:     device,
			GiB:        aws.ToInt32(raw.Size),
			Type:       string(raw.VolumeType),
			IOPS:       aws.ToInt32(raw.Iops),
			Throughput: aws.ToInt32(raw.Throughput),
			Encrypted:  aws.ToBool(raw.Encrypted),
			KMSKeyID:   aws.ToString(raw.KmsKeyId),
			Keep:       m.Ebs.DeleteOnTermination != nil && !*m.Ebs.DeleteOnTermination,
		}
		if aws.ToBool(raw.MultiAttachEnabled) {
			d.NotCopied = append(d.NotCopied, "the shared volume "+aws.ToString(raw.VolumeId)+" at "+device)
			continue
		}
		_, brought := fromImage[device]
		if device != d.RootDevice && !brought {
			v.SnapshotID = aws.ToString(raw.SnapshotId)
			d.NotCopied = append(d.NotCopied, "what is written on the volume "+aws.ToString(raw.VolumeId)+" at "+device)
		}
		d.Volumes = append(d.Volumes, v)
	}
	slices.SortFunc(d.Volumes, func(x, y Volume) int { return strings.Compare(x.Device, y.Device) })
}

// lengthOf is the length of a list of EC2's, which has a handful of elements.
func lengthOf[T any](list []T) int32 { return int32(len(list)) } //nolint:gosec // a handful

// interfaces takes in the network interfaces. Addresses are not copied: each is on one
// interface only. An elastic address stays where it is until it is moved.
func (d *Description) interfaces(i types.Instance) {
	for _, raw := range i.NetworkInterfaces {
		n := Interface{
			Type:         aws.ToString(raw.InterfaceType),
			Description:  aws.ToString(raw.Description),
			IPv6:         lengthOf(raw.Ipv6Addresses),
			IPv4Prefixes: lengthOf(raw.Ipv4Prefixes),
			IPv6Prefixes: lengthOf(raw.Ipv6Prefixes),
			Secondary:    max(lengthOf(raw.PrivateIpAddresses)-1, 0),
		}
		if n.Type == "interface" {
			n.Type = ""
		}
		if n.Description == "Primary network interface" { // EC2's own words
			n.Description = ""
		}
		for _, g := range raw.Groups {
			n.Groups = append(n.Groups, aws.ToString(g.GroupId))
		}
		if a := raw.Attachment; a != nil {
			n.Device, n.Card = aws.ToInt32(a.DeviceIndex), aws.ToInt32(a.NetworkCardIndex)
			if a.DeleteOnTermination != nil && !*a.DeleteOnTermination {
				d.NotCopied = append(d.NotCopied,
					"the network interface "+aws.ToString(raw.NetworkInterfaceId)+
						" itself, with its address: a replacement gets a new one")
			}
		}
		if a := raw.Association; a != nil {
			n.Public = a.PublicIp != nil // with an elastic address too: without any it would be cut off
			if n.Public && a.IpOwnerId != nil && *a.IpOwnerId != "amazon" {
				d.NotCopied = append(d.NotCopied, "its elastic address "+*a.PublicIp)
			}
		}
		d.Interfaces = append(d.Interfaces, n)
	}
	slices.SortFunc(d.Interfaces, func(x, y Interface) int { return int(x.Device - y.Device) })
}

// simplify leaves a single interface out that EC2 makes just so by itself in a subnet that
// gives public addresses, or does not.
func (d *Description) simplify(subnetGivesPublic bool) {
	if len(d.Interfaces) == 1 && d.Interfaces[0].plain() && d.Interfaces[0].Public == subnetGivesPublic {
		d.Interfaces = nil
	}
}

// sourced keeps the launch template that EC2 noted in the tags.
func (d *Description) sourced(tags []types.Tag) {
	named := tagsToMap(tags)
	if id := named["aws:ec2launchtemplate:id"]; id != "" {
		d.LaunchTemplate = &LaunchSource{ID: id, Version: named["aws:ec2launchtemplate:version"]}
	}
}
