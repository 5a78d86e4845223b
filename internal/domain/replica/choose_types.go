package replica

import (
	"cmp"
	"slices"
	"strings"
)

// mostOthers is how many types stand in for the wanted one.
const mostOthers = 8

// others lists the types that may stand in for the wanted one, best first: those that meet
// the requirements, the cheapest by list price first; the next sizes of the family while
// EC2's types are not known.
func (c chooser) others() []string {
	at := slices.IndexFunc(c.facts.Types, func(t TypeFacts) bool { return t.Name == c.base })
	if at < 0 {
		return c.family()
	}
	need := c.facts.Requirements.Resolve(c.facts.Types[at], c.facts.Architecture)
	fit := slices.DeleteFunc(slices.Clone(c.facts.Types), func(t TypeFacts) bool {
		return t.Name == c.base ||
			need.Objection(t) != ""
	})
	slices.SortFunc(fit, func(x, y TypeFacts) int {
		dx, dy := c.facts.OnDemand[x.Name], c.facts.OnDemand[y.Name]
		return cmp.Or(boolCompare(dx <= 0, dy <= 0), cmp.Compare(dx, dy), cmp.Compare(x.VCPUs, y.VCPUs),
			cmp.Compare(x.MemoryMiB, y.MemoryMiB),
			cmp.Compare(x.Name, y.Name))
	})
	out := make([]string, 0, mostOthers)
	for _, t := range fit[:min(len(fit), mostOthers)] {
		out = append(out, t.Name)
	}
	return out
}

// spotOfNearest lists the pools of the wanted type and of those that have exactly its size as
// one, because a fleet on one type alone ends with it, and then those of the larger types.
// Before on-demand an emergency tries as many pools as the wanted type has, and no more.
func (c chooser) spotOfNearest(
	others []string, why string, order func(a, b PoolFacts) int,
) (nearest, rest []Candidate) {
	peers, larger := c.splitPeers(others)
	if len(peers) == 0 {
		return c.spotOf(c.base, why, order), c.spotOfOthers(others, order)
	}
	var pools []PoolFacts
	wanted := 0
	for _, p := range c.facts.Pools {
		if p.InstanceType == c.base {
			wanted++
		}
		if p.InstanceType == c.base || slices.Contains(peers, p.InstanceType) {
			pools = append(pools, p)
		}
	}
	slices.SortFunc(pools, c.spread(order))
	for _, p := range pools {
		nearest = append(nearest, c.spot(p, why))
	}
	if wanted = max(wanted, 1); c.facts.Kind.Emergency() && wanted < len(nearest) {
		nearest, rest = nearest[:wanted], nearest[wanted:]
	}
	return nearest, append(rest, c.spotOfOthers(larger, order)...)
}

// splitPeers separates the types that have exactly the vCPUs and the memory of the wanted one.
func (c chooser) splitPeers(others []string) (peers, larger []string) {
	at := slices.IndexFunc(c.facts.Types, func(t TypeFacts) bool { return t.Name == c.base })
	for _, name := range others {
		n := slices.IndexFunc(c.facts.Types, func(t TypeFacts) bool { return t.Name == name })
		if at >= 0 && n >= 0 && c.facts.Types[n].VCPUs == c.facts.Types[at].VCPUs &&
			c.facts.Types[n].MemoryMiB == c.facts.Types[at].MemoryMiB {
			peers = append(peers, name)
		} else {
			larger = append(larger, name)
		}
	}
	return peers, larger
}

// spotOfOthers lists the pools of types that stand in. Next sizes of a family follow each
// other by size; types that meet requirements are equals, so their pools are in one order.
func (c chooser) spotOfOthers(types []string, order func(a, b PoolFacts) int) []Candidate {
	var out []Candidate
	if len(c.facts.Types) == 0 {
		for _, t := range types {
			out = append(out, c.spotOf(t, "next size of the family: "+t, order)...)
		}
		return out
	}
	pools := slices.DeleteFunc(slices.Clone(c.facts.Pools), func(p PoolFacts) bool {
		return !slices.Contains(types,
			p.InstanceType)
	})
	slices.SortFunc(pools, c.spread(order))
	for _, p := range pools {
		out = append(out, c.spot(p, "another type that meets the requirements: "+p.InstanceType))
	}
	return out
}

// family lists the next larger types of the wanted type's family, smallest first.
func (c chooser) family() []string {
	name, size, ok := strings.Cut(c.base, ".")
	at := slices.Index(sizes, size)
	if !ok || at < 0 {
		return nil
	}
	var out []string
	for _, s := range sizes[at+1 : min(at+1+maxSteps, len(sizes))] {
		out = append(out, name+"."+s)
	}
	return out
}
