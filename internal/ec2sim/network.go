package ec2sim

import (
	"fmt"
	"slices"
	"strings"

	"spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/ec2sim/derive"
)

// Every account has one default network per region with one subnet per zone;
// their ids follow from the names.

func derived(prefix string, parts ...string) string {
	return fmt.Sprintf("%s-0%016x", prefix, derive.MixWords(derive.HashText(strings.Join(parts, "/")), 11))
}

func vpcID(account, region string) string { return derived("vpc", account, region) }

// SubnetID is the id of an account's subnet in a zone.
func SubnetID(account, zone string) string { return derived("subnet", account, zone) }

// DefaultGroup is the id of the security group that every account has in a region.
func DefaultGroup(account, region string) string { return derived("sg", account, region) }

func (c *call) subnetZone(id string) (zone, bool) {
	if c.world != nil && c.world.set().Subnets[id] == client.SubnetDeleted {
		return zone{}, false
	}
	i := slices.IndexFunc(c.place.all(), func(z zone) bool {
		return SubnetID(c.account, z.name) == id || SecondSubnetID(c.account, z.name) == id && c.hasSecond(z.name)
	})
	if i < 0 {
		return zone{}, false
	}
	return c.place.all()[i], true
}

// SecondSubnetID is the id of an account's second subnet in a zone, where it has one.
func SecondSubnetID(account, zone string) string { return derived("subnet", account, zone, "second") }

func (c *call) hasSecond(zone string) bool {
	return c.world != nil && c.world.set().Second[c.account+"/"+zone]
}

func zoneIndex(r region, name string) int {
	return slices.IndexFunc(r.all(), func(z zone) bool { return z.name == name })
}

func privateIP(r region, zone string, seq int64) string {
	return fmt.Sprintf("172.31.%d.%d", 16*zoneIndex(r, zone)+int(seq/250%16), seq%250+4)
}

func dnsName(prefix, ip, domain string) string {
	if ip == "" {
		return ""
	}
	return prefix + "-" + strings.ReplaceAll(ip, ".", "-") + "." + domain
}

type subnetItem struct {
	ID        string `xml:"subnetId"`
	State     string `xml:"state"`
	VPC       string `xml:"vpcId"`
	CIDR      string `xml:"cidrBlock,omitempty"`
	Native    bool   `xml:"ipv6Native"`
	Free      int    `xml:"availableIpAddressCount"`
	Zone      string `xml:"availabilityZone"`
	ZoneID    string `xml:"availabilityZoneId"`
	Default   bool   `xml:"defaultForAz"`
	PublicIPs bool   `xml:"mapPublicIpOnLaunch"`
	Owner     string `xml:"ownerId"`
}

type describeSubnetsResponse struct {
	reply
	Subnets   []subnetItem `xml:"subnetSet>item"`
	NextToken string       `xml:"nextToken,omitempty"`
}

func (c *call) describeSubnets() (replier, error) {
	filters, err := c.form.filters("subnet-id", "availability-zone", "availability-zone-id", "vpc-id",
		"default-for-az", "state")
	if err != nil {
		return nil, err
	}
	ids := c.form.list("SubnetId")
	for _, id := range ids {
		if _, ok := c.subnetZone(id); !ok {
			return nil, fail("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", id)
		}
	}
	used := map[string]int{}
	c.world.alive(c.now, func(i *instance) { used[i.Subnet]++ })
	out := &describeSubnetsResponse{}
	type place struct {
		n  int
		id string
		zone
	}
	var places []place
	for n, z := range c.place.all() {
		places = append(places, place{n, SubnetID(c.account, z.name), z})
		if c.hasSecond(z.name) {
			places = append(places, place{n + 8, SecondSubnetID(c.account, z.name), z})
		}
	}
	for _, z := range places {
		if _, exists := c.subnetZone(z.id); !exists || z.kind != ordinary && used[z.id] == 0 {
			continue
		}
		n := z.n
		s := subnetItem{
			ID:        z.id,
			State:     "available",
			VPC:       vpcID(c.account, c.place.name),
			CIDR:      fmt.Sprintf("172.31.%d.0/20", 16*n),
			Zone:      z.name,
			ZoneID:    z.zone.id,
			Default:   true,
			PublicIPs: true,
			Owner:     c.account,
		}
		s.Free = 4091 - used[s.ID]
		if c.world.set().Subnets[s.ID] == client.SubnetFull {
			s.Free = 0
		}
		if c.world.set().Subnets[s.ID] == client.SubnetIPv6 {
			s.CIDR, s.Native, s.Free, s.PublicIPs = "", true, 0, false
		}
		field := map[string]string{
			"subnet-id":            s.ID,
			"availability-zone":    s.Zone,
			"availability-zone-id": s.ZoneID,
			"vpc-id":               s.VPC,
			"default-for-az":       "true",
			"state":                s.State,
		}
		if (len(ids) == 0 || slices.Contains(ids, s.ID)) &&
			match(filters, nil, func(name string) []string { return []string{field[name]} }) {
			out.Subnets = append(out.Subnets, s)
		}
	}
	out.Subnets, out.NextToken, err = page(c, out.Subnets, 1000, func(s subnetItem) string { return s.Zone + s.ID })
	return out, err
}

// group is a security group that a caller created.
type group struct {
	ID          string `json:"id"`
	Account     string `json:"account"`
	Region      string `json:"region"`
	Name        string `json:"name"`
	Description string `json:"description"`
}

// ownGroups lists the caller's groups, the default one first.
func (c *call) ownGroups() []*group {
	first := &group{DefaultGroup(c.account, c.place.name), c.account, c.place.name, "default",
		"default VPC security group"}
	return append([]*group{first},
		c.world.groups.sorted(func(g *group) bool { return g.Account == c.account && g.Region == c.place.name })...)
}

// askedGroups are the groups of a launch; none asked for is the default one.
func (c *call) askedGroups() ([]string, error) {
	own := c.ownGroups()
	asked := slices.Concat(c.form.list("SecurityGroupId"), c.form.list("NetworkInterface.1.SecurityGroupId"),
		c.form.list("SecurityGroup"))
	if len(asked) == 0 {
		return []string{own[0].ID}, nil
	}
	var out []string
	for _, name := range asked {
		n := slices.IndexFunc(own, func(g *group) bool { return g.ID == name || g.Name == name })
		if n < 0 {
			return nil, fail("InvalidGroup.NotFound", "The security group '%s' does not exist", name)
		}
		out = append(out, own[n].ID)
	}
	return out, nil
}

func (c *call) groupItems(ids []string) []groupItem {
	var out []groupItem
	for _, g := range c.ownGroups() {
		if slices.Contains(ids, g.ID) {
			out = append(out, groupItem{g.ID, g.Name})
		}
	}
	return out
}

type securityGroupItem struct {
	ID          string `xml:"groupId"`
	Name        string `xml:"groupName"`
	Description string `xml:"groupDescription"`
	Owner       string `xml:"ownerId"`
	VPC         string `xml:"vpcId"`
	Tags        []tag  `xml:"tagSet>item"`
}

type describeSecurityGroupsResponse struct {
	reply
	Groups    []securityGroupItem `xml:"securityGroupInfo>item"`
	NextToken string              `xml:"nextToken,omitempty"`
}

func (c *call) describeSecurityGroups() (replier, error) {
	filters, err := c.form.filters("group-id", "group-name", "vpc-id", "description")
	if err != nil {
		return nil, err
	}
	own := c.ownGroups()
	ids, names := c.form.list("GroupId"), c.form.list("GroupName")
	for _, asked := range slices.Concat(ids, names) {
		if !slices.ContainsFunc(own, func(g *group) bool { return g.ID == asked || g.Name == asked }) {
			return nil, fail("InvalidGroup.NotFound", "The security group '%s' does not exist", asked)
		}
	}
	out := &describeSecurityGroupsResponse{}
	vpc := vpcID(c.account, c.place.name)
	for _, g := range own {
		field := map[string]string{"group-id": g.ID, "group-name": g.Name, "vpc-id": vpc, "description": g.Description}
		if len(ids) > 0 && !slices.Contains(ids, g.ID) || len(names) > 0 && !slices.Contains(names, g.Name) ||
			!match(filters, c.world.tags.rows[g.ID], func(name string) []string { return []string{field[name]} }) {
			continue
		}
		out.Groups = append(out.Groups,
			securityGroupItem{g.ID, g.Name, g.Description, g.Account, vpc, c.world.tagsOf(g.ID)})
	}
	return out, nil
}

type createGroupResponse struct {
	reply
	ID     string `xml:"groupId"`
	Return bool   `xml:"return"`
}

func (c *call) createSecurityGroup() (replier, error) {
	name := c.form.get("GroupName")
	if name == "" || c.form.get("GroupDescription") == "" {
		return nil, fail("MissingParameter", "The request must contain the parameters GroupName and GroupDescription")
	}
	if slices.ContainsFunc(c.ownGroups(), func(g *group) bool { return g.Name == name }) {
		return nil, fail("InvalidGroup.Duplicate", "The security group '%s' already exists", name)
	}
	tags, err := c.form.tagSpecifications("security-group")
	if err != nil {
		return nil, err
	}
	g := &group{"sg-0" + suffix(16), c.account, c.place.name, name, c.form.get("GroupDescription")}
	c.world.groups.put(g.ID, g)
	c.world.tag(g.ID, tags["security-group"])
	return &createGroupResponse{ID: g.ID, Return: true}, nil
}
