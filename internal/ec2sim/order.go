package ec2sim

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"

	"spotkeeper/internal/ec2sim/client"
)

// order is a RunInstances request, read and checked for form.
type order struct {
	typ       instanceType
	zone      string // empty: any
	subnet    string
	market    string
	behaviour string
	maxPrice  float64
	image     string
	least     int
	most      int
	groups    []string
	disk      disk
	data      []dataDisk
	lasting   bool // a persistent spot request
	tags      map[string][]tag
}

// fingerprint is the whole request but the token itself.
func (c *call) fingerprint() string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(c.form)) {
		if name == "Action" || name == "Version" || name == "ClientToken" {
			continue
		}
		for _, part := range append([]string{name}, c.form[name]...) {
			_, _ = h.Write([]byte(strconv.Itoa(len(part)) + ":" + part)) // a hash never fails
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// askedZone is the zone that the request names, directly or by subnet.
func (c *call) askedZone() string {
	if z, ok := c.place.zone(c.form.get("Placement.AvailabilityZone")); ok {
		return z.name
	}
	if z, ok := c.place.zone(c.form.get("Placement.AvailabilityZoneId")); ok {
		return z.name
	}
	if z, ok := c.subnetZone(c.askedSubnet()); ok {
		return z.name
	}
	return ""
}

func (c *call) askedSubnet() string {
	if id := c.form.get("SubnetId"); id != "" {
		return id
	}
	return c.form.get("NetworkInterface.1.SubnetId")
}

func marketOf(f form) string {
	if f.get("InstanceMarketOptions.MarketType") == "spot" {
		return client.Spot
	}
	return client.OnDemand
}

// readOrder checks the request the way EC2 does before it looks for capacity.
func (c *call) readOrder() (o order, err error) {
	var ok bool
	name := c.form.get("InstanceType")
	if o.typ, ok = typeMap[name]; !ok {
		return o, invalid("Invalid value '%s' for InstanceType.", name)
	}
	if name := c.form.get("KeyName"); name != "" && !c.hasKeyPair(name) {
		return o, fail("InvalidKeyPair.NotFound", "The key pair '%s' does not exist", name)
	}
	if o.least, err = c.form.number("MinCount", 0); err != nil {
		return o, err
	}
	if o.most, err = c.form.number("MaxCount", 0); err != nil {
		return o, err
	}
	if o.least < 1 || o.most < o.least || o.most > 1000 {
		return o, invalid("Invalid values for MinCount (%d) and MaxCount (%d)", o.least, o.most)
	}
	if err = c.readPlacement(&o); err != nil {
		return o, err
	}
	if err = c.readMarket(&o); err != nil {
		return o, err
	}
	if err = c.refuseForSpot(o); err != nil {
		return o, err
	}
	img, err := c.imageFor(c.form.get("ImageId"), o.typ)
	if err != nil {
		return o, err
	}
	o.image = img.ID
	if o.groups, err = c.askedGroups(); err != nil {
		return o, err
	}
	o.disk = disk{Size: img.Size, Kind: "gp3"}
	if err = c.readDisks(&o); err != nil {
		return o, err
	}
	if data := c.form.get("UserData"); data != "" {
		if raw, bad := base64.StdEncoding.DecodeString(data); bad != nil || len(raw) > 16<<10 {
			return o, fail("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.")
		}
	}
	o.tags, err = c.form.tagSpecifications("instance", "volume", "network-interface", "spot-instances-request")
	return o, err
}

func (c *call) readPlacement(o *order) error {
	if err := c.refusePartition(); err != nil {
		return err
	}
	asked := c.form.get("Placement.AvailabilityZone")
	if id := c.form.get("Placement.AvailabilityZoneId"); id != "" {
		asked = id
	}
	if asked != "" {
		z, ok := c.place.zone(asked)
		if !ok || c.isClosed(z.name) {
			return invalid("Invalid availability zone: [%s]", asked)
		}
		o.zone = z.name
	}
	o.subnet = c.askedSubnet()
	if o.subnet == "" {
		return nil
	}
	z, ok := c.subnetZone(o.subnet)
	if !ok {
		return fail("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", o.subnet)
	}
	if o.zone != "" && o.zone != z.name {
		return invalid("The availability zone '%s' does not match that of subnet '%s'", o.zone, o.subnet)
	}
	o.zone = z.name
	if err := c.refuseIPv4(o.subnet); err != nil {
		return err
	}
	if c.world.set().Subnets[o.subnet] == client.SubnetFull {
		return fail("InsufficientFreeAddressesInSubnet",
			"There are not enough free addresses in subnet '%s' to satisfy the requested number of instances.",
			o.subnet)
	}
	return nil
}

// refuseIPv4 refuses IPv4 addresses in a subnet that has none.
func (c *call) refuseIPv4(subnet string) error {
	const nic = "NetworkInterface.1."
	if c.world.set().Subnets[subnet] != client.SubnetIPv6 {
		return nil
	}
	if c.form.get(nic+"AssociatePublicIpAddress") == "true" || c.form.get("PrivateIpAddress") != "" ||
		c.form.get(nic+"SecondaryPrivateIpAddressCount") != "" {
		return fail("InvalidParameterCombination", "The subnet '%s' has no IPv4 addresses.", subnet)
	}
	return nil
}

// refusePartition refuses a partition outside a placement group, and beyond its seven.
func (c *call) refusePartition() error {
	text := c.form.get("Placement.PartitionNumber")
	if text == "" {
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 7 {
		return invalid("Invalid value '%s' for PartitionNumber. It must be from 1 to 7.", text)
	}
	if c.form.get("Placement.GroupName") == "" && c.form.get("Placement.GroupId") == "" {
		return fail("InvalidParameterCombination", "A partition number needs a placement group.")
	}
	return nil
}

func (c *call) readMarket(o *order) error {
	const at = "InstanceMarketOptions."
	switch kind := c.form.get(at + "MarketType"); kind {
	case "spot":
		o.market = client.Spot
	case "":
		o.market = client.OnDemand
		if c.form.anyUnder("InstanceMarketOptions") {
			return fail("InvalidParameterCombination", "The market options need a market type.")
		}
		return nil
	default:
		return invalid("The market type '%s' is not offered here.", kind)
	}
	lasting := c.form.get(at+"SpotOptions.SpotInstanceType") == "persistent"
	o.behaviour = c.form.get(at + "SpotOptions.InstanceInterruptionBehavior")
	switch o.behaviour {
	case "":
		o.behaviour = "terminate"
	case "terminate", "stop", "hibernate":
	default:
		return invalid("Invalid value '%s' for InstanceInterruptionBehavior", o.behaviour)
	}
	o.lasting = lasting
	if lasting == (o.behaviour == "terminate") { // RunInstances takes no other combination
		return fail("InvalidParameterCombination",
			"Interruption behavior '%s' does not go with this Spot instance type.", o.behaviour)
	}
	if text := c.form.get(at + "SpotOptions.MaxPrice"); text != "" {
		price, err := strconv.ParseFloat(text, 64)
		if err != nil || price <= 0 {
			return invalid("Invalid value '%s' for MaxPrice", text)
		}
		o.maxPrice = price
	}
	return nil
}
