package ec2sim

import (
	"fmt"
	"time"

	"spotkeeper/internal/ec2sim/client"
)

// clock is a virtual clock over a real one: a straight line through (Real,
// Virtual) with slope Scale. It only goes forward, so that the states of
// instances, which are functions of it, never go back.
type clock struct {
	real    func() time.Time
	Real    time.Time `json:"real"`
	Virtual time.Time `json:"virtual"`
	Scale   float64   `json:"scale"`
}

func newClock(real func() time.Time) clock {
	t := real().UTC()
	return clock{real: real, Real: t, Virtual: t, Scale: 1}
}

func (c *clock) now() time.Time {
	passed := c.real().Sub(c.Real)
	if passed < 0 { // the machine's clock was set back
		passed = 0
	}
	return c.Virtual.Add(time.Duration(float64(passed) * c.Scale)).UTC()
}

// rebase starts a new line at the present.
func (c *clock) rebase() { c.Virtual, c.Real = c.now(), c.real().UTC() }

func (c *clock) change(in client.ClockChange) error {
	switch {
	case in.Scale != nil && *in.Scale < 0:
		return fmt.Errorf("scale %v would turn the clock back", *in.Scale)
	case in.AdvanceSeconds != nil && *in.AdvanceSeconds < 0:
		return fmt.Errorf("advancing by %v seconds would turn the clock back", *in.AdvanceSeconds)
	case in.Now != nil && in.Now.Before(c.now()):
		return fmt.Errorf("%s is before the clock's %s", in.Now.Format(time.RFC3339), c.now().Format(time.RFC3339))
	}
	c.rebase()
	if in.Scale != nil {
		c.Scale = *in.Scale
	}
	if in.Now != nil {
		c.Virtual = in.Now.UTC()
	}
	if in.AdvanceSeconds != nil {
		c.Virtual = c.Virtual.Add(seconds(*in.AdvanceSeconds))
	}
	return nil
}

func (c *clock) state() client.ClockState { return client.ClockState{Now: c.now(), Scale: c.Scale} }

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
