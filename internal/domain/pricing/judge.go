package pricing

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"spotkeeper/internal/domain/agent"
)

// errNoPrice says why a price is not believed.
const errNoPrice = "the price is not above 0 and at most 10000 USD per hour"

// Submission is one price of a report that is believed.
type Submission struct {
	ID           string
	PoolID       string
	InstanceType string
	Region       string
	AZ           string
	Price        USD
	OnDemand     USD // of the same type and region; 0: unknown
	At           time.Time
}

// Rejection is one price of a report that is not believed, and why.
type Rejection struct {
	PoolID string `json:"pool_id"`
	Reason string `json:"reason"`
}

// Accepted is the part of a report that is believed.
type Accepted struct {
	InstanceID   string
	InstanceType string
	Region       string
	Own          Place
	Mode         agent.Mode
	At           time.Time
	OnDemand     USD // 0: not reported, or the sentinel
	CurrentSpot  USD // 0: not reported
	Submissions  []Submission
	Rejected     []Rejection
}

// Ingested counts what a report led to.
type Ingested struct {
	Orphaned bool `json:"-"` // the agent's primary is lost, and the instance that reports plays no part: it may follow

	Accepted   int         `json:"accepted"`   // prices that are stored, duplicates included
	Duplicates int         `json:"duplicates"` // of those, the ones that had come before
	Rejected   []Rejection `json:"rejected"`
}

// Judge separates what is believed from what is not. One bad pool does not lose
// the good ones; a report with nothing good in it, or from no sane time, is
// refused as a whole. now is also when a report was made that does not say, and when one
// was made whose clock is ahead.
//
// Fails with pricing.time_out_of_window and pricing.price_out_of_range, which
// names the first bad pool.
func (r Report) Judge(agentID string, now time.Time) (Accepted, error) {
	at := r.CollectedAt
	if at.IsZero() {
		at = now
	}
	at = at.UTC().Truncate(time.Microsecond) // as the database holds it
	if err := CheckTime(at, now); err != nil {
		return Accepted{}, err
	}
	seenAt := at
	if at.After(now) { // a clock that is ahead must not outlast what is measured later
		at = now.UTC().Truncate(time.Microsecond)
	}
	out := Accepted{
		InstanceID:   r.InstanceID,
		InstanceType: r.InstanceType,
		Region:       r.Region,
		Own:          r.Own(),
		Mode:         r.Mode,
		At:           at,
		Rejected:     []Rejection{},
	}
	for _, member := range r.Odd {
		out.reject(member, "the price must be a number")
	}
	out.OnDemand = r.onDemand(&out)
	if r.CurrentSpot != nil {
		if spot := FromFloat(*r.CurrentSpot); spot.Valid() {
			out.CurrentSpot = spot
		} else {
			out.reject("current_spot_price", errNoPrice)
		}
	}
	seen, firstBad := map[string]USD{}, len(out.Rejected)
	for n, p := range r.Pools {
		s, why := p.judge(r.Region)
		first, twice := seen[s.PoolID]
		switch {
		case why != "":
			out.reject(p.name(n), why)
			continue
		case twice && first == s.Price:
			continue
		case twice:
			out.reject(s.PoolID, "the pool is named twice with different prices")
			continue
		}
		seen[s.PoolID], s.At = s.Price, at
		s.ID = submissionID(agentID, r.InstanceID, s.PoolID, seenAt, s.Price)
		if s.InstanceType == r.InstanceType && s.Region == r.Region {
			s.OnDemand = out.OnDemand
		}
		out.Submissions = append(out.Submissions, s)
	}
	if out.CurrentSpot == 0 && out.Mode == agent.Spot {
		out.CurrentSpot = r.ownPrice(out.Submissions)
	}
	// One order for all writers: two reports that meet in the database wait for
	// each other instead of locking each other out.
	slices.SortFunc(out.Submissions, func(a, b Submission) int { return strings.Compare(a.PoolID, b.PoolID) })
	if len(out.Submissions) == 0 && len(r.Pools) > 0 {
		bad := out.Rejected[firstBad]
		return Accepted{}, OutOfRange.New("%s: %s", bad.PoolID, bad.Reason).With("accepted", 0).With("rejected",
			len(out.Rejected)).With("rejections", out.Rejected)
	}
	return out, nil
}

func (a *Accepted) reject(what, why string) {
	a.Rejected = append(a.Rejected, Rejection{what, why})
}

// Place is the valid part of an instance's claims about its place. An invalid type, zone or
// region is empty.
type Place struct {
	InstanceType string
	Region       string
	AZ           string
}

// Own returns the reporting instance's own place, as it reports it.
func (r Report) Own() Place {
	plausible := func(instanceType, az string) bool {
		_, _, err := agent.SplitPool(agent.PoolID(instanceType, az))
		return err == nil
	}
	const someType, someZone = "t3.medium", "us-east-1a" // each vouches for the other half of a pool's id
	var out Place
	if plausible(r.InstanceType, someZone) {
		out.InstanceType = r.InstanceType
	}
	if plausible(someType, r.Region+"a") {
		out.Region = r.Region
	}
	if plausible(someType, r.AZ) {
		out.AZ, out.Region = r.AZ, agent.RegionIn(out.Region, r.AZ)
	}
	return out
}

// ownPrice is what the report says of the reporting instance's own pool, 0 when it
// names no such pool. The oldest agents say the price of their instance only so.
func (r Report) ownPrice(believed []Submission) USD {
	own := cmp.Or(r.PoolID, agent.PoolID(r.InstanceType, r.AZ))
	for _, s := range believed {
		if s.PoolID == own {
			return s.Price
		}
	}
	return 0
}

// onDemand is the on-demand price. It is 0 when the price was not reported or is the value
// that agents send when they do not know it.
func (r Report) onDemand(out *Accepted) USD {
	if r.OnDemand == nil {
		return 0
	}
	usd := FromFloat(*r.OnDemand)
	switch {
	case usd == Sentinel || *r.OnDemand == 0:
		return 0
	case !usd.Valid():
		out.reject("on_demand_price", errNoPrice)
		return 0
	}
	return usd
}

// name is how a rejection refers to a pool.
func (p PoolReport) name(n int) string {
	if p.PoolID == "" {
		return fmt.Sprintf("spot_pools[%d]", n)
	}
	return p.PoolID[:min(len(p.PoolID), 100)]
}

// judge says what a pool's price is, or why it is none. A pool's type and zone follow from
// its id, which the other fields must not contradict; its region is the report's.
func (p PoolReport) judge(region string) (s Submission, why string) {
	if p.PoolID == "" {
		return s, "pool_id is missing"
	}
	instanceType, az, err := agent.SplitPool(p.PoolID)
	switch {
	case err != nil:
		return s, "pool_id must be <instance type>.<zone>"
	case p.AZ != "" && p.AZ != az:
		return s, "az is not the zone of the pool"
	case p.InstanceType != "" && p.InstanceType != instanceType:
		return s, "instance_type is not the type of the pool"
	case p.Price == nil:
		return s, "price must be a number"
	}
	s = Submission{
		PoolID:       p.PoolID,
		InstanceType: instanceType,
		Region:       agent.RegionIn(region, az),
		AZ:           az,
		Price:        FromFloat(*p.Price),
	}
	if !s.Price.Valid() {
		return s, errNoPrice
	}
	return s, ""
}
