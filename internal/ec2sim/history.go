package ec2sim

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"
)

type spotPrice struct {
	InstanceType string `xml:"instanceType"`
	Product      string `xml:"productDescription"`
	Price        string `xml:"spotPrice"`
	Timestamp    string `xml:"timestamp"`
	Zone         string `xml:"availabilityZone"`
	ZoneID       string `xml:"availabilityZoneId"`
}

type spotPriceHistory struct {
	reply
	Prices    []spotPrice `xml:"spotPriceHistorySet>item"`
	NextToken string      `xml:"nextToken"`
}

const historyPage = 1000

// describeSpotPriceHistory lists the changes between start and end, newest
// first, and last the price each series had when the span began.
func (c *call) describeSpotPriceHistory() (replier, error) {
	lines, err := c.wantedSeries()
	if err != nil {
		return nil, err
	}
	end, err := c.form.moment("EndTime", c.now)
	if err != nil {
		return nil, err
	}
	start, err := c.form.moment("StartTime", c.now.Add(-historySpan))
	if err != nil {
		return nil, err
	}
	if start.After(end) && c.form.has("EndTime") {
		return nil, invalid("The end time must not be before the start time")
	}
	size, err := c.form.number("MaxResults", historyPage)
	if err != nil {
		return nil, err
	}
	if size < 1 || size > historyPage {
		return nil, invalid("Value ( %d ) for parameter maxResults is invalid. Expecting a value from 1 to %d.", size,
			historyPage)
	}
	if c.opts.PageSize > 0 {
		size = min(size, c.opts.PageSize)
	}
	m := c.world.market()
	walk := historyWalk{
		m: m, lines: lines, size: size,
		first: m.at(later(start, c.now.Add(-historySpan))),
		last:  m.at(earlier(end, c.now)),
	}
	walk.first = min(walk.first, walk.last+1) // a start in the future asks for the present price
	at := place{step: walk.last}
	if sent := c.form.get("NextToken"); sent != "" {
		if at, err = c.readPlace(sent); err != nil {
			return nil, err
		}
		if at.last > walk.last || at.step > at.last || time.Duration(at.last-at.first)*m.step > historySpan+m.step {
			return nil, badToken()
		}
		walk.first, walk.last = at.first, at.last // the span does not move between pages
	}
	out := &spotPriceHistory{}
	next, more := walk.run(at)
	out.Prices = walk.out
	if more {
		out.NextToken = c.writeToken(next.String())
	}
	return out, nil
}

// place is where a page begins: a step, a line within it, and the span of the walk.
type place struct {
	step, first, last int64
	line              int
}

const placeForm = "%d/%d/%d/%d"

// String is the text that readPlace reads.
func (p place) String() string { return fmt.Sprintf(placeForm, p.step, p.first, p.last, p.line) }

func (c *call) readPlace(token string) (place, error) {
	text, err := c.readToken(token)
	if err != nil {
		return place{}, err
	}
	var p place
	if _, err := fmt.Sscanf(text, placeForm, &p.step, &p.first, &p.last, &p.line); err != nil || p.line < 0 {
		return place{}, badToken()
	}
	return p, nil
}

// historyWalk goes back through the steps, and in each through the lines. The
// step before the first one stands for "the price in force at the start".
type historyWalk struct {
	m           market
	lines       []series
	first, last int64
	size        int
	out         []spotPrice
}

func (w *historyWalk) run(at place) (next place, more bool) {
	line := at.line
	for step := at.step; step >= w.first; step-- {
		for ; line < len(w.lines); line++ {
			if !w.m.changed(w.lines[line], step) {
				continue
			}
			if len(w.out) == w.size {
				return place{step, w.first, w.last, line}, true
			}
			w.out = append(w.out, w.entry(w.lines[line], step))
		}
		line = 0
	}
	inForce := w.inForce()
	for ; line < len(inForce); line++ {
		if len(w.out) == w.size {
			return place{w.first - 1, w.first, w.last, line}, true
		}
		w.out = append(w.out, w.entry(inForce[line].series, inForce[line].since))
	}
	return place{}, false
}

type standing struct {
	series
	since int64
}

// inForce are the prices that stood when the span began, the youngest first. A
// line that changes with the span's first step is listed there.
func (w *historyWalk) inForce() []standing {
	var out []standing
	for _, s := range w.lines {
		if w.first <= w.last && w.m.changed(s, w.first) {
			continue
		}
		since := w.first - 1
		for bound := since - 100*changeOdds; since > bound && !w.m.changed(s, since); {
			since--
		}
		out = append(out, standing{s, since})
	}
	slices.SortStableFunc(out, func(a, b standing) int { return cmp.Compare(b.since, a.since) })
	return out
}

func (w *historyWalk) entry(s series, step int64) spotPrice {
	z, _ := s.region.zone(s.zone)
	return spotPrice{
		InstanceType: s.typ.name, Product: s.product, Zone: s.zone, ZoneID: z.id,
		Price: strconv.FormatFloat(w.m.price(s, step), 'f', 6, 64), Timestamp: stamp(w.m.time(step)),
	}
}

// wantedSeries are the lines of the caller's region that the request asks for.
func (c *call) wantedSeries() ([]series, error) {
	filters, err := c.form.filters("availability-zone", "instance-type", "product-description")
	if err != nil {
		return nil, err
	}
	types, products := c.form.list("InstanceType"), c.form.list("ProductDescription")
	for _, name := range types {
		if _, ok := typeMap[name]; !ok {
			return nil, invalid("Invalid value '%s' for InstanceType.", name)
		}
	}
	at := c.form.get("AvailabilityZone")
	if id := c.form.get("AvailabilityZoneId"); id != "" {
		at = id
	}
	if at != "" {
		z, ok := c.place.zone(at)
		if !ok {
			return nil, invalid("Invalid availability zone: [%s]", at)
		}
		at = z.name
	}
	m := c.world.market()
	var out []series
	for _, t := range typeList {
		for _, z := range c.place.zones {
			for _, p := range osProducts {
				product := p.name
				names := []string{product, product + " (Amazon VPC)"}
				wanted := (len(types) == 0 || slices.Contains(types, t.name)) && (at == "" || at == z.name) &&
					(len(products) == 0 || slices.Contains(products, names[0]) ||
						slices.Contains(products, names[1])) &&
					match(filters, nil, func(name string) []string {
						switch name {
						case "availability-zone":
							return []string{z.name}
						case "instance-type":
							return []string{t.name}
						default: // product-description
							return names
						}
					})
				if s, ok := m.series(poolID(t.name, z.name), product); ok && wanted {
					out = append(out, s)
				}
			}
		}
	}
	return out, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
