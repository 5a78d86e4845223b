package replica

import (
	"cmp"
	"math"
	"slices"

	"spotkeeper/internal/domain/agent"
)

// ChoiceFacts are what a choice of pools is made from: all of one region.
type ChoiceFacts struct {
	Kind    Kind   `json:"kind"`
	Primary Origin `json:"primary"`
	// Pools are the known pools, each as spot. The primary's own need not be there.
	Pools []PoolFacts `json:"pools"`
	// OnDemand holds the price of each instance type, in USD per hour.
	OnDemand map[string]float64 `json:"on_demand,omitempty"`
	// Resting are the pools, on-demand ones too, that failed lately: Candidate.Key.
	Resting []string `json:"resting,omitempty"`
	// Failed are the pools in which launches for this agent failed lately: Candidate.Key.
	Failed []string `json:"failed,omitempty"`
	// Blocked are the pools that a person keeps launches out of: Candidate.Key.
	Blocked []string `json:"blocked,omitempty"`
	// Types are the types that EC2 offers in the region and that may fit, the wanted one
	// among them. Empty: EC2 was not asked yet, and the next sizes of the family stand in.
	Types        []TypeFacts  `json:"types,omitempty"`
	Requirements Requirements `json:"requirements,omitzero"`  // the agent's, not resolved
	Architecture string       `json:"architecture,omitempty"` // of the image
	// Zones are where the primary's network has a subnet.
	Zones []string `json:"zones,omitempty"`
	// Fleet is how many instances the client has in the region.
	Fleet int `json:"fleet,omitempty"`
}

// Origin is the instance that the replica is to replace.
type Origin struct {
	InstanceType string `json:"instance_type"`
	Region       string `json:"region"`
	AZ           string `json:"az"`
}

// PoolFacts is the stored facts about a pool.
type PoolFacts struct {
	InstanceType  string  `json:"instance_type"`
	AZ            string  `json:"az"`
	Price         float64 `json:"price"`          // USD per hour; 0: unknown
	Interruptions int     `json:"interruptions"`  // notices seen there in the last week
	Ours          int     `json:"ours,omitempty"` // the client's instances there
	// Hours are the instance-hours that were seen there in the last week.
	Hours float64 `json:"hours,omitempty"`
	// Score is EC2's placement score of the zone for the types that fit, 1 to 10; 0: unknown.
	Score int `json:"score,omitempty"`
}

// Bands of risk. A pool of which nothing is known is taken to interrupt an instance once in
// assumedHours, and what was seen corrects that.
const (
	assumedHours = 500
	lowestBand   = -3
	highestBand  = 5
	lowScore     = 3 // EC2 expects a launch to fail
	middlingLow  = 6
)

// riskBand classes a pool by its interruptions per instance-hour in steps of two, and by
// EC2's placement score. Within a band the price decides, because what was seen in a week
// says no more than a magnitude.
func (p PoolFacts) riskBand() int {
	rate := (float64(p.Interruptions) + 1) / (p.Hours + assumedHours)
	band := min(max(int(math.Round(math.Log2(rate*assumedHours))), lowestBand), highestBand)
	switch {
	case p.Score == 0 || p.Score > middlingLow:
		return band
	case p.Score > lowScore:
		return band + 1
	default:
		return band + 2
	}
}

// Pools that hold a large share of a client's fleet come behind others, so that the end
// of one pool does not take half a fleet.
const (
	smallFleet  = 4 // of so few instances any share is large
	largestPart = 4 // a quarter
)

func (f ChoiceFacts) isCrowded(p PoolFacts) bool {
	return f.Fleet >= smallFleet && (p.Ours+1)*largestPart > f.Fleet
}

// maxSteps is how many sizes above the primary's a stand-in may be. A smaller one
// is no help.
const maxSteps = 2

// sizes are EC2's instance sizes in order.
var sizes = []string{"nano", "micro", "small", "medium", "large", "xlarge", "2xlarge", "3xlarge", "4xlarge",
	"6xlarge", "8xlarge", "9xlarge",
	"10xlarge", "12xlarge", "16xlarge", "18xlarge", "24xlarge", "32xlarge", "48xlarge"}

// Choose lists the pools to try for a replica, best first: those of the type and of types of
// exactly its size that are not the primary's pool, by band of risk and then by price, and
// behind them those that hold a large share of the client's fleet. A standby then tries larger
// types, then on-demand. An emergency tries the type on-demand, and only then another size.
// The primary's own pool comes behind every other pool of the type, because both would end
// together. A switch goes to its target and nowhere else.
//
// Spot that costs as much as on-demand is tried by an emergency alone, behind
// on-demand.
//
// A pool in which a launch for the agent failed lately comes behind the others, so that the next
// replica does not begin where the last one ended. A pool that rests is passed over, in an
// emergency tried last. What a person
// blocked, is in an excluded zone, or costs more than the cap or an unknown price under a
// cap, is never in the list; no pool twice.
func Choose(plan Plan, f ChoiceFacts) []Candidate {
	c := chooser{plan: plan, facts: f, base: f.Primary.InstanceType}
	pinned, _, pinnedErr := agent.SplitPool(plan.Pool)
	switch {
	case plan.InstanceType != "":
		c.base = plan.InstanceType
	case pinnedErr == nil:
		c.base = pinned
	}
	if f.Kind == Switch {
		return c.finish(c.withoutDear(c.forSwitch()))
	}
	return c.finish(c.forStandby())
}

type chooser struct {
	plan  Plan
	facts ChoiceFacts
	base  string // the instance type wanted
}

// forSwitch lists the one pool that was asked for, or every pool of the type in
// the mode that was asked for.
func (c chooser) forSwitch() []Candidate {
	if instanceType, az, err := agent.SplitPool(c.plan.Pool); err == nil {
		if c.plan.InstanceType != "" {
			instanceType = c.plan.InstanceType
		}
		if c.plan.Mode == agent.OnDemand {
			return []Candidate{c.onDemand(instanceType, az, "the place asked for")}
		}
		return []Candidate{c.spot(c.known(instanceType, az), "the pool asked for")}
	}
	if c.plan.Mode == agent.OnDemand {
		return c.allOnDemand([]string{c.base})
	}
	return c.spotOf(c.base, "cheapest", byPrice)
}

func (c chooser) forStandby() []Candidate {
	const why = "fewest interruptions, then cheapest"
	order := byRisk
	var out []Candidate
	if instanceType, az, err := agent.SplitPool(c.plan.Pool); err == nil {
		out = append(out, c.spot(c.known(instanceType, az), "the pool asked for"))
	}
	wanted, others := c.allOnDemand([]string{c.base}), c.others()
	if c.plan.Mode == agent.OnDemand {
		return append(append(out, wanted...), c.allOnDemand(others)...)
	}
	nearest, larger := c.spotOfNearest(others, why, order)
	out = append(out, nearest...)
	own := c.spot(c.known(c.facts.Primary.InstanceType, c.facts.Primary.AZ),
		"the primary's own pool, for want of another")
	isOwn := func(x Candidate) bool { return x.PoolID == c.ownPool() && x.PoolID != c.plan.Pool }
	out, larger = slices.DeleteFunc(out, isOwn), slices.DeleteFunc(larger, isOwn)
	if !c.facts.Kind.Emergency() {
		return c.withoutDear(slices.Concat(out, larger, []Candidate{own}, wanted, c.allOnDemand(others)))
	}
	cheap, dear := c.splitDear(out)
	return slices.Concat(cheap, wanted, []Candidate{own}, dear, larger, c.allOnDemand(others))
}

// isDear says whether a spot price is at or above the on-demand price of the same or of
// the wanted type. Spot that dear is no saving, and can be taken all the same.
func (c chooser) isDear(x Candidate) bool {
	for _, t := range []string{x.InstanceType, c.base} {
		if list := c.facts.OnDemand[t]; x.Mode == agent.Spot && list > 0 && x.HourlyPrice >= list {
			return true
		}
	}
	return false
}

func (c chooser) withoutDear(in []Candidate) []Candidate {
	return slices.DeleteFunc(in, c.isDear)
}

// splitDear separates the pools that cost less than on-demand from the others.
func (c chooser) splitDear(in []Candidate) (cheap, dear []Candidate) {
	for _, x := range in {
		if c.isDear(x) {
			x.Why += "; spot costs as much as on-demand"
			dear = append(dear, x)
		} else {
			cheap = append(cheap, x)
		}
	}
	return cheap, dear
}

func (c chooser) ownPool() string {
	return agent.PoolID(c.facts.Primary.InstanceType, c.facts.Primary.AZ)
}

// spotOf lists the known pools of a type in the given order.
func (c chooser) spotOf(instanceType, why string, order func(a, b PoolFacts) int) []Candidate {
	pools := slices.DeleteFunc(
		slices.Clone(c.facts.Pools), func(p PoolFacts) bool { return p.InstanceType != instanceType })
	slices.SortFunc(pools, c.spread(order))
	out := make([]Candidate, 0, len(pools))
	for _, p := range pools {
		out = append(out, c.spot(p, why))
	}
	return out
}

func (c chooser) known(instanceType, az string) PoolFacts {
	for _, p := range c.facts.Pools {
		if p.InstanceType == instanceType && p.AZ == az {
			return p
		}
	}
	return PoolFacts{InstanceType: instanceType, AZ: az}
}

func (c chooser) spot(p PoolFacts, why string) Candidate {
	return Candidate{
		PoolID:       agent.PoolID(p.InstanceType, p.AZ),
		InstanceType: p.InstanceType,
		Region:       c.facts.Primary.Region,
		AZ:           p.AZ,
		Mode:         agent.Spot,
		HourlyPrice:  p.Price,
		Why:          why,
	}
}

func (c chooser) onDemand(instanceType, az, why string) Candidate {
	return Candidate{
		PoolID:       agent.PoolID(instanceType, az),
		InstanceType: instanceType,
		Region:       c.facts.Primary.Region,
		AZ:           az,
		Mode:         agent.OnDemand,
		HourlyPrice:  c.facts.OnDemand[instanceType],
		Why:          why,
	}
}

// allOnDemand lists the types in turn in every zone we know of. On-demand can be
// out of capacity too. A switch stays in its zone if it can; a stand-in leaves
// the zone that is in trouble for last.
func (c chooser) allOnDemand(types []string) []Candidate {
	zones := []string{}
	for _, az := range c.zones() {
		if az != c.facts.Primary.AZ && !slices.Contains(zones, az) {
			zones = append(zones, az)
		}
	}
	slices.Sort(zones)
	switch {
	case c.facts.Primary.AZ == "":
	case c.facts.Kind == Switch:
		zones = slices.Insert(zones, 0, c.facts.Primary.AZ)
	default:
		zones = append(zones, c.facts.Primary.AZ)
	}
	var out []Candidate
	for _, t := range types {
		for _, az := range zones {
			out = append(out, c.onDemand(t, az, "on-demand, in no spot pool's reach"))
		}
	}
	return out
}

// zones are those of the known pools, and those that the network has.
func (c chooser) zones() []string {
	out := slices.Clone(c.facts.Zones)
	for _, p := range c.facts.Pools {
		out = append(out, p.AZ)
	}
	return out
}

// spread orders pools that hold a large share of the client's fleet behind the others.
func (c chooser) spread(order func(a, b PoolFacts) int) func(a, b PoolFacts) int {
	return func(a, b PoolFacts) int {
		return cmp.Or(boolCompare(c.facts.isCrowded(a), c.facts.isCrowded(b)), order(a, b))
	}
}

// finish applies what holds for every choice.
func (c chooser) finish(in []Candidate) []Candidate {
	var out, failed, resting []Candidate
	seen, vcpus := map[string]bool{}, map[string]int{}
	for _, t := range c.facts.Types {
		vcpus[t.Name] = t.VCPUs
	}
	for _, x := range in {
		x.VCPUs = vcpus[x.InstanceType]
		capped := c.plan.MaxHourlyCost > 0 && (x.HourlyPrice <= 0 || x.HourlyPrice > c.plan.MaxHourlyCost)
		switch {
		case x.AZ == "" || seen[x.Key()] || capped || slices.Contains(c.plan.ExcludeZones, x.AZ):
		case slices.Contains(c.facts.Blocked, x.Key()):
		case !slices.Contains(c.facts.Resting, x.Key()) && slices.Contains(c.facts.Failed, x.Key()):
			x.Why += "; a launch failed there lately"
			failed = append(failed, x)
		case !slices.Contains(c.facts.Resting, x.Key()):
			out = append(out, x)
		case c.facts.Kind.Emergency():
			x.Why += "; it failed lately"
			resting = append(resting, x)
		}
		seen[x.Key()] = true
	}
	return slices.Concat(c.putBack(out, failed), resting)
}

// putBack puts the pools in which launches failed lately behind the others: in an emergency at the
// end, otherwise still before on-demand, which is not paid for because spot was refused.
func (c chooser) putBack(others, failed []Candidate) []Candidate {
	at := slices.IndexFunc(others, func(x Candidate) bool { return x.Mode == agent.OnDemand })
	if at < 0 || c.facts.Kind.Emergency() || c.plan.Mode == agent.OnDemand {
		at = len(others)
	}
	spot := slices.IndexFunc(failed, func(x Candidate) bool { return x.Mode == agent.OnDemand })
	if spot < 0 {
		spot = len(failed)
	}
	return slices.Concat(others[:at], failed[:spot], others[at:], failed[spot:])
}

// byPrice orders pools from cheap to dear, unknown prices last.
func byPrice(a, b PoolFacts) int {
	return cmp.Or(boolCompare(a.Price <= 0, b.Price <= 0), cmp.Compare(a.Price, b.Price),
		cmp.Compare(a.InstanceType+a.AZ, b.InstanceType+b.AZ))
}

// byRisk orders pools from quiet to troubled, then as byPrice.
func byRisk(a, b PoolFacts) int {
	return cmp.Or(cmp.Compare(a.riskBand(), b.riskBand()), byPrice(a, b))
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}
