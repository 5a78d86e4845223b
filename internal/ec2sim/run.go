package ec2sim

import "strings"

// launch is one decided RunInstances call. While it is remembered, its client
// token makes nothing else.
type launch struct {
	Token       string   `json:"token"`
	Fingerprint string   `json:"fingerprint"`
	Instances   []string `json:"instances"`
}

func (c *call) runInstances() (replier, error) {
	token := c.form.get("ClientToken")
	if len(token) > 64 || strings.ContainsFunc(token, func(r rune) bool { return r > 126 || r < 32 }) {
		return nil, invalid("Invalid value for ClientToken: it must be at most 64 ASCII characters.")
	}
	key := c.tokenKey(token)
	if former, ok := c.world.launches.rows[key]; ok && token != "" {
		return c.again(former)
	}
	source, version, err := c.expandTemplate()
	if err != nil {
		return nil, err
	}
	o, err := c.readOrder()
	if err != nil {
		return nil, err
	}
	if source != "" {
		o.tags["instance"] = append(o.tags["instance"], tag{"aws:ec2launchtemplate:id", source},
			tag{"aws:ec2launchtemplate:version", version})
	}
	if err := c.needSpotRole(o.market); err != nil {
		return nil, err
	}
	n, err := c.choose(&o)
	if err != nil {
		return nil, err
	}
	c.world.forget(c.now, c.opts.Retention)
	made := c.make(o, n, key, token)
	if token != "" {
		c.world.launches.put(key, &launch{Token: token, Fingerprint: c.fingerprint(), Instances: made.ids()})
	}
	return c.reservation(made), nil
}

// tokenKey is what a client token is unique in: account and region and, when
// the request names a zone or a subnet, the zone. The same token in another
// zone is another launch, as at AWS.
func (c *call) tokenKey(token string) string {
	return strings.Join([]string{c.account, c.place.name, c.askedZone(), token}, "/")
}

// again answers a repeated token: the same instances for the same request.
func (c *call) again(former *launch) (replier, error) {
	if former.Fingerprint != c.fingerprint() {
		return nil, fail("IdempotentParameterMismatch",
			"Arguments on this idempotent request are inconsistent with arguments used in previous request(s).")
	}
	var made reservation
	for _, id := range former.Instances {
		i := c.world.instances.rows[id]
		if i.state(c.now) == terminated {
			return nil, fail(
				"IdempotentInstanceTerminated",
				"The client token you have provided is associated with the terminated instance %s. Please use a different client token.",
				id,
			)
		}
		made = append(made, i)
	}
	return c.reservation(made), nil
}
