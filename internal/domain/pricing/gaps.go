package pricing

import (
	"math"
	"slices"
	"time"
)

// MeasuredPoint is the measured price of a pool in a bucket.
type MeasuredPoint struct {
	At       time.Time // the start of the bucket
	Price    USD
	OnDemand USD // 0: unknown
}

// Method says how a gap was filled.
type Method string

// Methods.
const (
	Linear          Method = "linear"
	WeightedAverage Method = "weighted-average"
	CrossPool       Method = "cross-pool"
)

// Gap is how long a gap is, in buckets from the one before to the one after: one
// missing bucket counts as two.
type Gap int

// Limits of the kinds of gap. Beyond a long one nothing is invented.
const (
	shortGap  Gap = 2
	mediumGap Gap = 6
	longGap   Gap = 24 // two hours
)

// Between measures the gap between two measured points.
func Between(before, after MeasuredPoint) Gap { return Gap(after.At.Sub(before.At) / BucketSize) }

// Type is short, medium, long, or empty for a gap that is too long to fill.
func (g Gap) Type() string {
	switch {
	case g <= shortGap:
		return "short"
	case g <= mediumGap:
		return "medium"
	case g <= longGap:
		return "long"
	default:
		return ""
	}
}

// Confidence is how far what fills the gap is trusted.
func (g Gap) Confidence() float64 {
	switch g.Type() {
	case "short":
		return 0.85
	case "medium":
		return 0.75
	case "long":
		return 0.70
	default:
		return 0
	}
}

// FilledBucket is one bucket that was missing.
type FilledBucket struct {
	MeasuredPoint
	Method     Method
	Confidence float64
}

// Filling counts the gaps of one pool, and the points that fill them.
type Filling struct {
	Filled            []FilledBucket
	TooLong           int // gaps longer than two hours, left open
	MissingBoundaries int // buckets of the window before the first point or after the last
}

// FillGaps fills the gaps between a pool's measured points, which are in order of
// time. Prices are filled in from measured points alone, those of the pool and of its
// peers (the same type and region in other zones), so filling again changes nothing. from
// and until bound the buckets to fill; points outside of them are used too.
func FillGaps(points []MeasuredPoint, peers [][]MeasuredPoint, from, until time.Time) Filling {
	var out Filling
	from, until = BucketOf(from), BucketOf(until)
	out.MissingBoundaries = boundary(points, from, until)
	for i := 1; i < len(points); i++ {
		before, after := points[i-1], points[i]
		gap := Between(before, after)
		if gap < 2 || !after.At.After(from) || !before.At.Before(until) {
			continue
		}
		if gap.Type() == "" {
			out.TooLong++
			continue
		}
		median, known := 0.0, false
		if gap.Type() == "long" {
			median, known = medianChange(peers, before.At, after.At)
		}
		for at := before.At.Add(BucketSize); at.Before(after.At); at = at.Add(BucketSize) {
			if at.Before(from) || !at.Before(until) {
				continue
			}
			f := FilledBucket{MeasuredPoint: MeasuredPoint{At: at, OnDemand: before.OnDemand}, Confidence: gap.Confidence()}
			switch {
			case gap.Type() == "medium":
				f.Price, f.Method = weighted(points, i-1, at), WeightedAverage
			case known:
				f.Price, f.Method = FromFloat(before.Price.Float()*(1+median)), CrossPool
			default:
				f.Price, f.Method = linear(before, after, at), Linear
			}
			f.Price = min(max(f.Price, MinPrice), MaxPrice)
			out.Filled = append(out.Filled, f)
		}
	}
	return out
}

// boundary counts the buckets that have no neighbour on one side.
func boundary(points []MeasuredPoint, from, until time.Time) int {
	n := 0
	for at := from; at.Before(until); at = at.Add(BucketSize) {
		if len(points) == 0 || at.Before(points[0].At) || at.After(points[len(points)-1].At) {
			n++
		}
	}
	return n
}

func linear(before, after MeasuredPoint, at time.Time) USD {
	share := float64(at.Sub(before.At)) / float64(after.At.Sub(before.At))
	return before.Price + USD(math.Round(float64(after.Price-before.Price)*share))
}

// A price inside a gap is the average of at most averagedPoints measured points. Points
// further than reach from the gap are left out.
const (
	averagedPoints = 6
	reach          = time.Hour
)

// weighted is the mean of the nearest points, each by the inverse of its
// distance. last is the index of the point before the gap.
func weighted(points []MeasuredPoint, last int, at time.Time) USD {
	earliest, latest := points[last].At.Add(-reach), points[last+1].At.Add(reach)
	low, high := last, last+1
	var sum, weight float64
	for range averagedPoints {
		hasLow := low >= 0 && !points[low].At.Before(earliest)
		hasHigh := high < len(points) && !points[high].At.After(latest)
		if !hasLow && !hasHigh {
			break
		}
		next := high
		if hasLow && (!hasHigh || at.Sub(points[low].At) <= points[high].At.Sub(at)) {
			next = low
			low--
		} else {
			high++
		}
		w := 1 / (math.Abs(at.Sub(points[next].At).Seconds()) + 1)
		sum += w * float64(points[next].Price)
		weight += w
	}
	return USD(math.Round(sum / weight))
}

// medianChange is how the peers' prices moved over the gap, as a share of their
// price before it; false when no peer was seen near both ends.
func medianChange(peers [][]MeasuredPoint, before, after time.Time) (float64, bool) {
	var changes []float64
	for _, peer := range peers {
		i, exact := slices.BinarySearchFunc(peer, before, func(p MeasuredPoint, t time.Time) int { return p.At.Compare(t) })
		if !exact {
			i--
		}
		j, _ := slices.BinarySearchFunc(peer, after, func(p MeasuredPoint, t time.Time) int { return p.At.Compare(t) })
		if i < 0 || j >= len(peer) || before.Sub(peer[i].At) > reach || peer[j].At.Sub(after) > reach {
			continue
		}
		changes = append(changes, float64(peer[j].Price-peer[i].Price)/float64(peer[i].Price))
	}
	if len(changes) == 0 {
		return 0, false
	}
	slices.Sort(changes)
	mid := len(changes) / 2
	if len(changes)%2 == 1 {
		return changes[mid], true
	}
	return (changes[mid-1] + changes[mid]) / 2, true
}
