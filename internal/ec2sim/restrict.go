package ec2sim

import (
	"path"

	"spotkeeper/internal/ec2sim/client"
)

// refuseByPolicy answers as EC2 does when a service control policy of the account denies the
// call: before it looks at anything else, and for a dry run too.
func (c *call) refuseByPolicy() error {
	for _, p := range c.world.set().Policies[c.account] {
		if !c.denies(p) {
			continue
		}
		return fail("UnauthorizedOperation", "You are not authorized to perform this operation. User: "+
			"arn:aws:sts::%s:assumed-role/simulated/session is not authorized to perform: ec2:%s with an explicit deny in a "+
			"service control policy. Encoded authorization failure message: %s", c.account, c.action, suffix(500))
	}
	return nil
}

func (c *call) denies(p client.Policy) bool {
	action := p.Action
	if action == "" {
		action = "RunInstances"
	}
	if !matches(action, c.action) || !matches(p.Region, c.place.name) {
		return false
	}
	if p.InstanceType == "" && p.Zone == "" && p.Market == "" {
		return true
	}
	if c.action != "RunInstances" { // only a launch has a type, a zone and a market
		return false
	}
	return matches(p.InstanceType, c.form.get("InstanceType")) && matches(p.Zone, c.askedZone()) &&
		(p.Market == "" || p.Market == marketOf(c.form))
}

// matches compares with a pattern, an empty one of which admits everything.
func matches(pattern, value string) bool {
	if pattern == "" {
		return true
	}
	ok, err := path.Match(pattern, value)
	return ok && err == nil
}

// needSpotRole refuses a spot launch in an account that lacks the service-linked role of EC2
// Spot, unless the caller may create it: then the launch does. A dry run does not find out.
func (c *call) needSpotRole(market string) error {
	role, ok := c.world.set().SpotRoles[c.account]
	if market != client.Spot || !ok || !role.Missing {
		return nil
	}
	if !role.Creatable {
		return fail("AuthFailure.ServiceLinkedRoleCreationNotPermitted",
			"The provided credentials do not have permission to create the service-linked role for EC2 Spot Instances.")
	}
	delete(c.world.changeSettings().SpotRoles, c.account)
	return nil
}

// isClosed says whether a region or a zone is not open to the account.
func (c *call) isClosed(place string) bool { return c.world.set().Closed[c.account+"/"+place] }

// refuseClosed refuses a call of EC2 in a region that the account has not enabled.
func (w *world) refuseClosed(who caller) error {
	if who.service == "sts" || !w.set().Closed[who.account+"/"+who.place.name] {
		return nil
	}
	return fail("AuthFailure", "AWS was not able to validate the provided access credentials")
}

func (s *Server) postPolicy(in client.Policy) (any, error) {
	if !isAccount(in.Account) {
		return nil, invalid("%q is no account.", in.Account)
	}
	for _, pattern := range []string{in.Action, in.InstanceType, in.Zone, in.Region} {
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, invalid("The pattern %q is malformed.", pattern)
		}
	}
	set := s.world.changeSettings()
	if set.Policies == nil {
		set.Policies = map[string][]client.Policy{}
	}
	if in.Gone {
		delete(set.Policies, in.Account)
		return nothing{}, nil
	}
	set.Policies[in.Account] = append(set.Policies[in.Account], in)
	return nothing{}, nil
}

func (s *Server) postSpotRole(in client.SpotRole) (any, error) {
	if !isAccount(in.Account) {
		return nil, invalid("%q is no account.", in.Account)
	}
	set := s.world.changeSettings()
	if set.SpotRoles == nil {
		set.SpotRoles = map[string]client.SpotRole{}
	}
	set.SpotRoles[in.Account] = in
	return nothing{}, nil
}

func (s *Server) postPlace(in client.Place) (any, error) {
	if !isAccount(in.Account) || in.Name == "" {
		return nil, invalid("A place needs an account and a region or a zone, not %q and %q.", in.Account, in.Name)
	}
	set := s.world.changeSettings()
	if set.Closed == nil {
		set.Closed = map[string]bool{}
	}
	set.Closed[in.Account+"/"+in.Name] = !in.Open
	return nothing{}, nil
}

// postShow has the Describe calls show an instance in a state that it is not in.
func (s *Server) postShow(in client.Shown) (any, error) {
	i, ok := s.world.instances.rows[in.InstanceID]
	if _, known := stateCodes[in.State]; !ok || !known || in.ForSeconds <= 0 {
		return nil, invalid("Instance %q cannot be shown as %q for %g seconds.", in.InstanceID, in.State, in.ForSeconds)
	}
	i.Shown, i.ShownUntil = in.State, s.world.now().Add(seconds(in.ForSeconds))
	s.world.instances.touch(i.ID)
	return nothing{}, nil
}

// shownState is the state that Describe calls show; now is the moment that they show.
func (c *call) shownState(i *instance) string {
	if i.Shown != "" && c.now.Before(i.ShownUntil) {
		return i.Shown
	}
	return i.state(c.seen())
}

// openZones leaves the zones that the account may use.
func (c *call) openZones(in []zone) (out []zone) {
	for _, z := range in {
		if !c.isClosed(z.name) {
			out = append(out, z)
		}
	}
	return out
}

// refuseForSpot refuses what EC2 does not offer with spot.
func (c *call) refuseForSpot(o order) error {
	if o.market != client.Spot {
		return nil
	}
	switch {
	case c.form.get("Placement.Tenancy") == "host", c.form.get("Placement.HostId") != "":
		return fail("InvalidParameterCombination", "Spot Instances do not run on Dedicated Hosts.")
	case c.form.get("HibernationOptions.Configured") == "true" && o.behaviour != "hibernate":
		return fail("InvalidParameterCombination", "Hibernation options need the interruption behavior 'hibernate'.")
	case c.form.get("DisableApiStop") == "true":
		return fail("UnsupportedOperation", "Stop protection is not supported for Spot Instances.")
	case c.form.anyUnder("CapacityReservationSpecification"):
		return fail("InvalidParameterCombination", "Capacity Reservations cannot be used with Spot Instances.")
	}
	return nil
}
