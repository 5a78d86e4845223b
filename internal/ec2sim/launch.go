package ec2sim

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"spotkeeper/internal/ec2sim/client"
)

// reservation is the instances of one launch.
type reservation []*instance

func (r reservation) ids() []string {
	out := make([]string, len(r))
	for n, i := range r {
		out[n] = i.ID
	}
	return out
}

// choose chooses the zone if the request left it open and says how many
// instances fit, after the quota and the price.
func (c *call) choose(o *order) (int, error) {
	zones := []string{o.zone}
	if o.zone == "" {
		zones = c.zonesByPrice(o.typ)
	}
	chosen, n := "", 0
	for _, z := range zones {
		if fits := c.world.fits(poolID(o.typ.name, z), o.market, o.most, c.now); fits >= o.least {
			chosen, n = z, fits
			break
		}
	}
	if err := c.world.checkQuota(c, o.typ, o.market, max(n, o.least)); err != nil {
		return 0, err
	}
	if o.maxPrice > 0 {
		at := chosen
		if at == "" {
			at = zones[0]
		}
		if price := c.spotPrice(poolID(o.typ.name, at)); price > o.maxPrice {
			return 0, fail(
				"SpotMaxPriceTooLow",
				"Your Spot request price of %g is lower than the minimum required Spot request fulfillment price of %g.",
				o.maxPrice,
				price,
			)
		}
	}
	if chosen == "" {
		return 0, c.noCapacity(*o, zones)
	}
	o.zone = chosen
	if o.subnet == "" {
		o.subnet = SubnetID(c.account, chosen)
	}
	return n, nil
}

func (c *call) noCapacity(o order, zones []string) error {
	if len(zones) > 1 {
		return fail("InsufficientInstanceCapacity", "There is no capacity for %s in any Availability Zone of %s.",
			o.typ.name, c.place.name)
	}
	if o.market == client.Spot {
		return fail("InsufficientInstanceCapacity", "There is no Spot capacity available that matches your request.")
	}
	return fail("InsufficientInstanceCapacity",
		"We currently do not have sufficient %s capacity in the Availability Zone you requested (%s).", o.typ.name,
		zones[0])
}

func (c *call) spotPrice(pool string) float64 {
	m := c.world.market()
	s, ok := m.series(pool, linux)
	if !ok {
		return 0
	}
	return m.price(s, m.at(c.now))
}

func (c *call) zonesByPrice(t instanceType) []string {
	var out []string
	for _, z := range c.openZones(c.place.zones) {
		out = append(out, z.name)
	}
	slices.SortStableFunc(out, func(a, b string) int {
		return cmp.Compare(c.spotPrice(poolID(t.name, a)), c.spotPrice(poolID(t.name, b)))
	})
	return out
}

// make creates n instances at the present moment, with all they will do by themselves.
func (c *call) make(o order, n int, key, token string) reservation {
	d := c.world.set().Delays
	id := "r-0" + suffix(16)
	var out reservation
	for index := range n {
		c.world.seq++
		tail := "0" + suffix(16)
		i := &instance{
			Seq:         c.world.seq,
			ID:          "i-" + tail,
			Account:     c.account,
			Region:      c.place.name,
			Zone:        o.zone,
			Type:        o.typ.name,
			Market:      o.market,
			Image:       o.image,
			Token:       token,
			Reservation: id,
			Index:       index,
			Subnet:      o.subnet,
			Groups:      o.groups,
			KeyName:     c.form.get("KeyName"),
			Profile:     c.askedProfile(),
			UserData:    c.form.get("UserData"),
			IMDSv2:      c.form.get("MetadataOptions.HttpTokens") == "required",
			Behaviour:   o.behaviour,
			Disk:        o.disk,
			PrivateIP:   privateIP(c.place, o.zone, c.world.seq),
			PublicIP:    fmt.Sprintf("198.18.%d.%d", c.world.seq/250%256, c.world.seq%250+4),
			Launched:    c.now,
			Visible:     c.now.Add(seconds(d.Visibility)),
			Running:     c.now.Add(seconds(d.Pending)),
		}
		if c.world.set().Subnets[o.subnet] == client.SubnetIPv6 {
			i.PrivateIP, i.PublicIP = "", ""
			i.IPv6 = fmt.Sprintf("2001:db8:0:%x::%x", zoneIndex(c.place, o.zone), c.world.seq)
		}
		i.Checked = i.Running.Add(seconds(d.Checks))
		i.Persistent, i.Asked, i.Data = o.lasting, c.form.keepAsked(), slices.Clone(o.data)
		for n := range i.Data {
			i.Data[n].ID = fmt.Sprintf("vol-%x%s", n+1, tail[1:])
		}
		if reason := c.deadKey(o); reason != "" {
			i.end(later(i.Running, c.now.Add(time.Millisecond)), 0, reason)
		}
		if token != "" {
			i.Launch = key
		}
		if o.market == client.Spot {
			i.SpotRequest = "sir-" + tail[9:]
			c.world.plan(i)
		}
		if c.fault != nil && c.fault.Mode == client.FaultStillborn {
			reason := c.fault.Code
			if reason == "" {
				reason = "Server.InternalError"
			}
			i.end(later(i.Running, c.now.Add(time.Millisecond)), 0, reason)
		}
		if c.fault != nil && c.fault.Mode == client.FaultHidden {
			i.Visible = c.now.Add(seconds(c.fault.HiddenSeconds))
		}
		c.world.instances.put(i.ID, i)
		c.world.live[i.ID] = i
		if i.Persistent {
			c.world.lasting[i.ID] = i
		}
		c.world.tag(i.ID, o.tags["instance"])
		c.world.tag(i.volume(), o.tags["volume"])
		c.world.tag(i.nic(), o.tags["network-interface"])
		c.world.tag(i.SpotRequest, o.tags["spot-instances-request"])
		out = append(out, i)
	}
	c.opts.Logger.Debug("instances launched", "account", c.account, "pool", poolID(o.typ.name, o.zone),
		"market", o.market, "instances", out.ids())
	return out
}

// askedProfile is the ARN of the instance profile, whichever way it was named.
func (c *call) askedProfile() string {
	if arn := c.form.get("IamInstanceProfile.Arn"); arn != "" {
		return arn
	}
	if name := c.form.get("IamInstanceProfile.Name"); name != "" {
		return "arn:" + c.place.partition.name + ":iam::" + c.account + ":instance-profile/" + name
	}
	return ""
}

// reservation answers a launch. EC2 says pending there, however fast the instance is.
func (c *call) reservation(made reservation) *runInstancesResponse {
	out := &runInstancesResponse{}
	out.reservationItem = c.reservationItem(made)
	for n, i := range made {
		if i.Launched.Equal(c.now) {
			out.Instances[n].State = stateItem{Code: stateCodes[pending], Name: pending}
		}
	}
	return out
}
