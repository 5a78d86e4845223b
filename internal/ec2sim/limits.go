package ec2sim

import (
	"path"
	"slices"
	"time"

	"spotkeeper/internal/ec2sim/client"
)

func limitKey(pool, market string) string { return pool + "/" + market }

// live counts the instances that hold capacity of a pool.
func (w *world) liveIn(pool, market string, now time.Time) int {
	n := 0
	w.alive(now, func(i *instance) {
		if i.Market == market && i.pool() == pool {
			n++
		}
	})
	return n
}

// free says how many more instances a pool takes; -1 is without limit. A limit
// below what runs already leaves nothing, never less.
func (w *world) free(pool, market string, now time.Time) int {
	limit, ok := w.set().Limits[limitKey(pool, market)]
	if !ok {
		return -1
	}
	return max(0, limit-w.liveIn(pool, market, now))
}

// fits reduces the number of instances wanted to what the pool has.
func (w *world) fits(pool, market string, wanted int, now time.Time) int {
	if free := w.free(pool, market, now); free >= 0 {
		return min(wanted, free)
	}
	return wanted
}

// setCapacity applies a limit to every pool it names and returns the pools.
func (w *world) setCapacity(in client.Capacity) ([]string, error) {
	if _, err := path.Match(in.Pool, ""); err != nil {
		return nil, invalid("The pool pattern %q is malformed.", in.Pool)
	}
	named := slices.DeleteFunc(pools(), func(pool string) bool {
		ok, _ := path.Match(in.Pool, pool)
		return !ok
	})
	if len(named) == 0 {
		return nil, invalid("There is no pool %q.", in.Pool)
	}
	markets := []string{client.Spot, client.OnDemand}
	switch in.Market {
	case "":
	case client.Spot, client.OnDemand:
		markets = []string{in.Market}
	default:
		return nil, invalid("There is no market %q.", in.Market)
	}
	s := w.changeSettings()
	for _, pool := range named {
		for _, market := range markets {
			if in.Limit < 0 {
				delete(s.Limits, limitKey(pool, market))
			} else {
				s.Limits[limitKey(pool, market)] = in.Limit
			}
		}
	}
	return named, nil
}

func (w *world) quota(account, region string) client.Quota { return w.set().Quotas[account+"/"+region] }

// setQuota lays the fields that are set over those that were.
func (w *world) setQuota(in client.Quota) {
	s := w.changeSettings()
	key := in.Account + "/" + in.Region
	q := s.Quotas[key]
	q.Account, q.Region = in.Account, in.Region
	for _, field := range []struct{ to, from **int }{
		{&q.SpotInstances, &in.SpotInstances}, {&q.VCPUs, &in.VCPUs}, {&q.SpotVCPUs, &in.SpotVCPUs},
		{&q.Instances, &in.Instances}, {&q.Addresses, &in.Addresses},
	} {
		if *field.from != nil {
			*field.to = *field.from
		}
	}
	s.Quotas[key] = q
}

func exceeds(limit *int, n int) bool { return limit != nil && *limit >= 0 && n > *limit }

// checkQuota refuses n more instances that the account may not have.
func (w *world) checkQuota(c *call, t instanceType, market string, n int) error {
	q, limited := w.set().Quotas[c.account+"/"+c.place.name]
	if !limited { // counting a large fleet for nothing is most of a launch's cost
		return nil
	}
	all, spot, spotVCPUs, vcpus := n, 0, 0, 0
	w.alive(c.now, func(i *instance) {
		if i.Account != c.account || i.Region != c.place.name {
			return
		}
		all++
		if i.Market == client.Spot {
			spot++
			spotVCPUs += typeMap[i.Type].vcpus
		} else {
			vcpus += typeMap[i.Type].vcpus
		}
	})
	switch {
	case market == client.Spot && (exceeds(q.SpotInstances, spot+n) || exceeds(q.SpotVCPUs, spotVCPUs+n*t.vcpus)):
		return fail("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded")
	case market == client.OnDemand && exceeds(q.VCPUs, vcpus+n*t.vcpus):
		return fail(
			"VcpuLimitExceeded",
			"You have requested more vCPU capacity than your current vCPU limit of %d allows for the instance bucket that the specified instance type belongs to.",
			*q.VCPUs,
		)
	case exceeds(q.Instances, all):
		return fail(
			"InstanceLimitExceeded",
			"You have requested more instances (%d) than your current instance limit of %d allows for the specified instance type.",
			all,
			*q.Instances,
		)
	}
	return nil
}
