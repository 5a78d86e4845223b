package ec2sim

import (
	"time"

	"spotkeeper/internal/ec2sim/client"
)

type changeItem struct {
	ID      string    `xml:"instanceId"`
	Current stateItem `xml:"currentState"`
	Former  stateItem `xml:"previousState"`
}

type changesResponse struct {
	reply
	Changes []changeItem `xml:"instancesSet>item"`
}

// change applies a step to every named instance, or to none if one is unknown or not to be changed.
func (c *call) change(check func(*instance) error, step func(*instance)) (replier, error) {
	ids := c.form.list("InstanceId")
	if len(ids) == 0 {
		return nil, fail("MissingParameter", "The request must contain the parameter InstanceId")
	}
	found, err := c.lookUp(ids)
	if err != nil {
		return nil, err
	}
	for _, i := range found {
		if err := check(i); err != nil {
			return nil, err
		}
	}
	out := &changesResponse{}
	for _, i := range found {
		former := i.state(c.now)
		step(i)
		c.world.instances.touch(i.ID)
		now := i.state(c.now)
		out.Changes = append(out.Changes,
			changeItem{i.ID, stateItem{stateCodes[now], now}, stateItem{stateCodes[former], former}})
	}
	return out, nil
}

func (c *call) always(*instance) error { return nil }

// terminateInstances succeeds for instances that have ended already, as EC2 does.
func (c *call) terminateInstances() (replier, error) {
	return c.change(c.always, func(i *instance) {
		if i.end(c.now, seconds(c.world.set().Delays.ShuttingDown), reasonUser) {
			c.opts.Logger.Debug("instance terminated", "instance_id", i.ID, "pool", i.pool())
		}
	})
}

func (c *call) stopInstances() (replier, error) {
	check := func(i *instance) error {
		switch state := i.state(c.now); {
		case state == shuttingDown || state == terminated:
			return incorrectState(i, state)
		case i.Market == client.Spot && i.Behaviour == "terminate":
			return fail(
				"UnsupportedOperation",
				"You can't stop the Spot Instance '%s' because it is associated with a one-time Spot Instance request.",
				i.ID,
			)
		}
		return nil
	}
	return c.change(check, func(i *instance) {
		if i.Stop.IsZero() || i.Stop.After(c.now) {
			i.stop(c.now, seconds(c.world.set().Delays.Stopping), reasonUser)
		}
	})
}

func (i *instance) stop(at time.Time, after time.Duration, reason string) {
	i.Stop, i.Stopped, i.StopReason = at, at.Add(after), reason
}

// startInstances starts what its owner stopped. What an interruption stopped only EC2 starts again.
func (c *call) startInstances() (replier, error) {
	check := func(i *instance) error {
		switch state := i.state(c.now); {
		case state == pending || state == running:
			return nil
		case state != stopped || i.StopReason != reasonUser:
			return incorrectState(i, state)
		case c.world.free(i.pool(), i.Market, c.now) == 0:
			return fail("InsufficientInstanceCapacity", "Insufficient capacity.")
		}
		return nil
	}
	return c.change(check, func(i *instance) {
		if i.state(c.now) != stopped {
			return
		}
		d := c.world.set().Delays
		i.Stop, i.Stopped, i.StopReason = time.Time{}, time.Time{}, ""
		i.Running = c.now.Add(seconds(d.Pending))
		i.Checked = i.Running.Add(seconds(d.Checks))
	})
}

func incorrectState(i *instance, state string) error {
	return fail("IncorrectInstanceState",
		"The instance '%s' is not in a state from which this is possible (it is %s).", i.ID, state)
}
