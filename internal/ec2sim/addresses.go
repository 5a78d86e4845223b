package ec2sim

import (
	"fmt"
	"slices"
	"time"
)

// address is an elastic address. An association with an instance that ended counts as none.
type address struct {
	ID          string `json:"id"`
	Account     string `json:"account"`
	Region      string `json:"region"`
	IP          string `json:"ip"`
	Association string `json:"association,omitempty"`
	Instance    string `json:"instance,omitempty"`
}

// holder is the instance that has the address now.
func (w *world) holder(a *address, now time.Time) *instance {
	i := w.instances.rows[a.Instance]
	if i == nil || i.state(now) == terminated {
		return nil
	}
	return i
}

// publicIP is the address an instance is reached at: its elastic one, or the one it was launched with.
func (w *world) publicIP(i *instance, now time.Time) string {
	switch i.state(now) {
	case terminated:
		return ""
	case stopped:
		return w.elastic(i, "")
	}
	return w.elastic(i, i.PublicIP)
}

func (w *world) elastic(i *instance, absent string) string {
	for _, a := range w.addresses.rows {
		if a.Instance == i.ID {
			return a.IP
		}
	}
	return absent
}

func (c *call) ownAddresses() []*address {
	return c.world.addresses.sorted(func(a *address) bool { return a.Account == c.account && a.Region == c.place.name })
}

// askedAddress finds the address by allocation, association or ip.
func (c *call) askedAddress() (*address, error) {
	for _, by := range []struct {
		param, code string
		field       func(*address) string
	}{
		{"AllocationId", "InvalidAllocationID.NotFound", func(a *address) string { return a.ID }},
		{"AssociationId", "InvalidAssociationID.NotFound", func(a *address) string { return a.Association }},
		{"PublicIp", "InvalidAddress.NotFound", func(a *address) string { return a.IP }},
	} {
		asked := c.form.get(by.param)
		if asked == "" {
			continue
		}
		for _, a := range c.ownAddresses() {
			if by.field(a) == asked {
				return a, nil
			}
		}
		return nil, fail(by.code, "The %s '%s' does not exist", by.param, asked)
	}
	return nil, fail("MissingParameter", "The request must name an address")
}

type allocateAddressResponse struct {
	reply
	IP     string `xml:"publicIp"`
	Domain string `xml:"domain"`
	ID     string `xml:"allocationId"`
}

func (c *call) allocateAddress() (replier, error) {
	n := len(c.ownAddresses())
	if exceeds(c.world.quota(c.account, c.place.name).Addresses, n+1) {
		return nil, fail("AddressLimitExceeded", "The maximum number of addresses has been reached.")
	}
	tags, err := c.form.tagSpecifications("elastic-ip")
	if err != nil {
		return nil, err
	}
	tail := suffix(16)
	a := &address{ID: "eipalloc-0" + tail, Account: c.account, Region: c.place.name, IP: c.freshIP()}
	c.world.addresses.put(a.ID, a)
	c.world.tag(a.ID, tags["elastic-ip"])
	return &allocateAddressResponse{IP: a.IP, Domain: "vpc", ID: a.ID}, nil
}

// freshIP is the first address of the pool that is free.
func (c *call) freshIP() string {
	taken := map[string]bool{}
	for _, a := range c.world.addresses.rows {
		taken[a.IP] = true
	}
	for n := 0; ; n++ {
		if ip := fmt.Sprintf("198.19.%d.%d", n/250, n%250+4); !taken[ip] {
			return ip
		}
	}
}

type associateAddressResponse struct {
	reply
	Return bool   `xml:"return"`
	ID     string `xml:"associationId"`
}

func (c *call) associateAddress() (replier, error) {
	a, err := c.askedAddress()
	if err != nil {
		return nil, err
	}
	found, err := c.lookUp([]string{c.form.get("InstanceId")})
	if err != nil {
		return nil, err
	}
	i := found[0]
	if s := i.state(c.now); s != running && s != stopped {
		return nil, fail("InvalidInstanceID", "The %s instance '%s' is not in a valid state for this operation.", s,
			i.ID)
	}
	if now := c.world.holder(a, c.now); now != nil && now != i && c.form.get("AllowReassociation") == "false" {
		return nil, fail("Resource.AlreadyAssociated", "resource %s is already associated with associate-id %s", a.ID,
			a.Association)
	} else if now == i {
		return &associateAddressResponse{Return: true, ID: a.Association}, nil
	}
	for _, other := range c.ownAddresses() { // an interface has one elastic address: the new one replaces it
		if other.Instance == i.ID {
			other.Instance, other.Association = "", ""
			c.world.addresses.touch(other.ID)
		}
	}
	a.Instance, a.Association = i.ID, "eipassoc-0"+suffix(16)
	c.world.addresses.touch(a.ID)
	return &associateAddressResponse{Return: true, ID: a.Association}, nil
}

func (c *call) disassociateAddress() (replier, error) {
	a, err := c.askedAddress()
	if err != nil {
		return nil, err
	}
	a.Instance, a.Association = "", ""
	c.world.addresses.touch(a.ID)
	return &done{Return: true}, nil
}

func (c *call) releaseAddress() (replier, error) {
	a, err := c.askedAddress()
	if err != nil {
		return nil, err
	}
	if i := c.world.holder(a, c.now); i != nil {
		return nil, fail("InvalidIPAddress.InUse", "Address %s is in use by %s.", a.IP, i.ID)
	}
	c.world.addresses.drop(a.ID)
	c.world.tags.drop(a.ID)
	return &done{Return: true}, nil
}

type addressItem struct {
	IP          string `xml:"publicIp"`
	ID          string `xml:"allocationId"`
	Domain      string `xml:"domain"`
	Instance    string `xml:"instanceId,omitempty"`
	Association string `xml:"associationId,omitempty"`
	NIC         string `xml:"networkInterfaceId,omitempty"`
	Private     string `xml:"privateIpAddress,omitempty"`
	Tags        []tag  `xml:"tagSet>item"`
}

type describeAddressesResponse struct {
	reply
	Addresses []addressItem `xml:"addressesSet>item"`
}

func (c *call) describeAddresses() (replier, error) {
	filters, err := c.form.filters("allocation-id", "public-ip", "instance-id", "association-id", "domain")
	if err != nil {
		return nil, err
	}
	ids, ips := c.form.list("AllocationId"), c.form.list("PublicIp")
	for _, id := range ids {
		if c.kind(id) == "" {
			return nil, fail("InvalidAllocationID.NotFound", "The allocation ID '%s' does not exist", id)
		}
	}
	out := &describeAddressesResponse{}
	for _, a := range c.ownAddresses() {
		item := addressItem{IP: a.IP, ID: a.ID, Domain: "vpc", Tags: c.world.tagsOf(a.ID)}
		if i := c.world.holder(a, c.now); i != nil {
			item.Instance, item.Association, item.NIC, item.Private = i.ID, a.Association, i.nic(), i.PrivateIP
		}
		field := map[string]string{
			"allocation-id":  a.ID,
			"public-ip":      a.IP,
			"instance-id":    item.Instance,
			"association-id": item.Association,
			"domain":         "vpc",
		}
		if len(ids) > 0 && !slices.Contains(ids, a.ID) || len(ips) > 0 && !slices.Contains(ips, a.IP) ||
			!match(filters, c.world.tags.rows[a.ID], func(name string) []string { return []string{field[name]} }) {
			continue
		}
		out.Addresses = append(out.Addresses, item)
	}
	return out, nil
}
