package ec2sim

import (
	"path"
	"time"

	"spotkeeper/internal/ec2sim/client"
)

// bucket is a token bucket on the virtual clock.
type bucket struct {
	tokens float64
	at     time.Time
}

// throttle takes a token for the call, or refuses it.
func (w *world) throttle(c *call, now time.Time) error {
	name := c.action
	limit, ok := w.set().Throttles[name]
	if !ok {
		name = "*"
		if limit, ok = w.set().Throttles[name]; !ok {
			return nil
		}
	}
	key := c.account + "/" + c.place.name + "/" + name
	b := w.buckets[key]
	if b == nil {
		b = &bucket{tokens: limit.Burst, at: now}
		w.buckets[key] = b
	}
	b.tokens = min(limit.Burst, b.tokens+limit.Refill*now.Sub(b.at).Seconds())
	b.at = now
	if b.tokens < 1 {
		return fail("RequestLimitExceeded", "Request limit exceeded.")
	}
	b.tokens--
	return nil
}

func (w *world) setThrottle(t client.Throttle) {
	s := w.changeSettings()
	if t.Burst < 0 {
		delete(s.Throttles, t.Action)
	} else {
		s.Throttles[t.Action] = t
	}
	clear(w.buckets)
}

// takeFault returns the first fault that is meant for the call, used up by one.
func (w *world) takeFault(c *call) *client.Fault {
	for i, f := range w.set().Faults {
		if !w.meant(f, c) {
			continue
		}
		s := w.changeSettings()
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		hit := *f
		if f.Times > 0 {
			f.Times--
		}
		if f.Times == 0 {
			s.Faults = append(s.Faults[:i:i], s.Faults[i+1:]...)
		}
		return &hit
	}
	return nil
}

func (w *world) meant(f *client.Fault, c *call) bool {
	if f.Action != "" && f.Action != c.action || f.Account != "" && f.Account != c.account {
		return false
	}
	if f.Market != "" && (c.action != "RunInstances" || f.Market != marketOf(c.form)) {
		return false
	}
	if f.Pool == "" {
		return true
	}
	for _, pool := range w.poolsOf(c) {
		if ok, err := path.Match(f.Pool, pool); ok && err == nil {
			return true
		}
	}
	return false
}

// poolsOf are the pools that a call names: a launch its own, others those of their instances.
func (w *world) poolsOf(c *call) []string {
	if c.action == "RunInstances" {
		return []string{poolID(c.form.get("InstanceType"), c.askedZone())}
	}
	var out []string
	for _, id := range append(c.form.list("InstanceId"), c.form.get("InstanceId")) {
		if i, ok := w.instances.rows[id]; ok {
			out = append(out, i.pool())
		}
	}
	return out
}
