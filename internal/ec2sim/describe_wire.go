package ec2sim

import (
	"time"

	"spotkeeper/internal/ec2sim/client"
)

type stateItem struct {
	Code int    `xml:"code"`
	Name string `xml:"name"`
}

type reasonItem struct {
	Code    string `xml:"code"`
	Message string `xml:"message"`
}

type groupItem struct {
	ID   string `xml:"groupId"`
	Name string `xml:"groupName"`
}

type diskItem struct {
	Device string `xml:"deviceName"`
	Volume string `xml:"ebs>volumeId"`
	Status string `xml:"ebs>status"`
	At     string `xml:"ebs>attachTime"`
	Delete bool   `xml:"ebs>deleteOnTermination"`
}

type nicItem struct {
	ID      string      `xml:"networkInterfaceId"`
	Subnet  string      `xml:"subnetId"`
	VPC     string      `xml:"vpcId"`
	Owner   string      `xml:"ownerId"`
	Status  string      `xml:"status"`
	Private string      `xml:"privateIpAddress"`
	Groups  []groupItem `xml:"groupSet>item"`
	Public  string      `xml:"association>publicIp,omitempty"`
	IPv6    []ipv6Item  `xml:"ipv6AddressesSet>item"`
}

type ipv6Item struct {
	Address string `xml:"ipv6Address"`
}

type instanceItem struct {
	ID           string      `xml:"instanceId"`
	Image        string      `xml:"imageId"`
	State        stateItem   `xml:"instanceState"`
	PrivateDNS   string      `xml:"privateDnsName"`
	PublicDNS    string      `xml:"dnsName"`
	Transition   string      `xml:"reason"`
	KeyName      string      `xml:"keyName,omitempty"`
	Index        int         `xml:"amiLaunchIndex"`
	Type         string      `xml:"instanceType"`
	Launched     string      `xml:"launchTime"`
	Zone         string      `xml:"placement>availabilityZone"`
	ZoneID       string      `xml:"placement>availabilityZoneId"`
	Tenancy      string      `xml:"placement>tenancy"`
	Monitoring   string      `xml:"monitoring>state"`
	Subnet       string      `xml:"subnetId,omitempty"`
	VPC          string      `xml:"vpcId,omitempty"`
	PrivateIP    string      `xml:"privateIpAddress,omitempty"`
	PublicIP     string      `xml:"ipAddress,omitempty"`
	IPv6         string      `xml:"ipv6Address,omitempty"`
	Groups       []groupItem `xml:"groupSet>item"`
	Reason       *reasonItem `xml:"stateReason"`
	Architecture string      `xml:"architecture"`
	RootType     string      `xml:"rootDeviceType"`
	RootDevice   string      `xml:"rootDeviceName"`
	Disks        []diskItem  `xml:"blockDeviceMapping>item"`
	Virtual      string      `xml:"virtualizationType"`
	Lifecycle    string      `xml:"instanceLifecycle,omitempty"`
	SpotRequest  string      `xml:"spotInstanceRequestId,omitempty"`
	Token        string      `xml:"clientToken"`
	Tags         []tag       `xml:"tagSet>item"`
	Hypervisor   string      `xml:"hypervisor"`
	NICs         []nicItem   `xml:"networkInterfaceSet>item"`
	Profile      string      `xml:"iamInstanceProfile>arn,omitempty"`
	ENA          bool        `xml:"enaSupport"`
	HTTPTokens   string      `xml:"metadataOptions>httpTokens"`
	HTTPEndpoint string      `xml:"metadataOptions>httpEndpoint"`
	OptionsState string      `xml:"metadataOptions>state"`
	Platform     string      `xml:"platformDetails"`
	System       string      `xml:"platform,omitempty"`
	Operation    string      `xml:"usageOperation"`
	Group        string      `xml:"placement>groupName,omitempty"`
	Partition    string      `xml:"placement>partitionNumber,omitempty"`
	Hops         string      `xml:"metadataOptions>httpPutResponseHopLimit"`
	InTags       string      `xml:"metadataOptions>instanceMetadataTags"`
	EBSOptimized bool        `xml:"ebsOptimized"`
	SourceCheck  string      `xml:"sourceDestCheck"`
	Host         string      `xml:"placement>hostId,omitempty"`
	Hibernates   bool        `xml:"hibernationOptions>configured"`
	Reservation  *reservable `xml:"capacityReservationSpecification"`
}

// reservable is how an instance uses capacity reservations.
type reservable struct {
	Preference string      `xml:"capacityReservationPreference,omitempty"`
	Target     *reservedBy `xml:"capacityReservationTarget"`
}

type reservedBy struct {
	ID string `xml:"capacityReservationId"`
}

func (i *instance) reservable() *reservable {
	const at = "CapacityReservationSpecification.CapacityReservation"
	if id := i.asked(at+"Target.CapacityReservationId", ""); id != "" {
		return &reservable{Target: &reservedBy{id}}
	}
	if preference := i.asked(at+"Preference", ""); preference != "" {
		return &reservable{Preference: preference}
	}
	return nil
}

type reservationItem struct {
	ID        string         `xml:"reservationId"`
	Owner     string         `xml:"ownerId"`
	Instances []instanceItem `xml:"instancesSet>item"`
}

type runInstancesResponse struct {
	reply
	reservationItem
}

type describeInstancesResponse struct {
	reply
	Reservations []reservationItem `xml:"reservationSet>item"`
	NextToken    string            `xml:"nextToken,omitempty"`
}

func (c *call) reservationItem(made []*instance) reservationItem {
	out := reservationItem{ID: made[0].Reservation, Owner: made[0].Account}
	for _, i := range made {
		out.Instances = append(out.Instances, c.instanceItem(i, c.seen()))
	}
	return out
}

func (c *call) instanceItem(i *instance, now time.Time) instanceItem {
	state := c.shownState(i)
	z, _ := c.place.zone(i.Zone)
	out := instanceItem{
		ID:           i.ID,
		Image:        i.Image,
		State:        stateItem{stateCodes[state], state},
		Transition:   i.transition(now),
		KeyName:      i.KeyName,
		Index:        i.Index,
		Type:         i.Type,
		Launched:     stamp(i.Launched),
		Zone:         i.Zone,
		ZoneID:       z.id,
		Tenancy:      i.asked("Placement.Tenancy", "default"),
		Monitoring:   "disabled",
		Architecture: typeMap[i.Type].arch,
		RootType:     "ebs",
		RootDevice:   rootDevice,
		Virtual:      "hvm",
		Hypervisor:   "xen",
		ENA:          true,
		SpotRequest:  i.SpotRequest,
		Token:        i.Token,
		Tags:         c.world.tagsOf(i.ID),
		Profile:      i.Profile,
		Groups:       c.groupItems(i.Groups),
		HTTPTokens:   tokensOf(i),
		HTTPEndpoint: "enabled",
		OptionsState: "applied",
		Platform:     c.productOf(i),
		Group:        i.asked("Placement.GroupName", ""),
		Partition:    i.asked("Placement.PartitionNumber", ""),
		Hops:         i.asked("MetadataOptions.HttpPutResponseHopLimit", "1"),
		InTags:       i.asked("MetadataOptions.InstanceMetadataTags", "disabled"),
		EBSOptimized: i.asked("EbsOptimized", "") == "true",
		SourceCheck:  i.asked("SourceDestCheck", "true"),
		Host:         i.asked("Placement.HostId", ""),
		Hibernates:   i.asked("HibernationOptions.Configured", "") == "true",
		Reservation:  i.reservable(),
	}
	if i.asked("Monitoring.Enabled", "") == "true" {
		out.Monitoring = "enabled"
	}
	out.Operation = osProductNamed(out.Platform).operation
	if out.Platform == windows {
		out.System = "windows"
	}
	if i.Market == client.Spot {
		out.Lifecycle = "spot"
	}
	if code, message := i.reason(now); code != "" {
		out.Reason = &reasonItem{code, message}
	}
	if state == terminated { // nothing is attached to it any more
		return out
	}
	out.Subnet, out.VPC, out.PrivateIP = i.Subnet, vpcID(i.Account, i.Region), i.PrivateIP
	out.PrivateDNS = dnsName("ip", i.PrivateIP, i.Region+".compute.internal")
	out.PublicIP = c.world.publicIP(i, now)
	out.PublicDNS = dnsName("ec2", out.PublicIP, i.Region+".compute.amazonaws.com")
	out.Disks = []diskItem{{rootDevice, i.volume(), "attached", stamp(i.Launched), !i.Disk.Keep}}
	for _, d := range i.Data {
		out.Disks = append(out.Disks, diskItem{d.Device, d.ID, "attached", stamp(i.Launched), !d.Keep})
	}
	out.NICs = []nicItem{{i.nic(), i.Subnet, out.VPC, i.Account, "in-use", i.PrivateIP, out.Groups, out.PublicIP, nil}}
	if out.IPv6 = i.IPv6; i.IPv6 != "" {
		out.NICs[0].IPv6 = []ipv6Item{{i.IPv6}}
	}
	return out
}
