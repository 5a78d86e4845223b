package pricing

import (
	"math"
	"time"
)

// Observation is one measured price.
type Observation struct {
	ID       string // of the submission
	Source   Source
	Price    USD
	OnDemand USD // 0: not reported
	At       time.Time
}

// Truth is what is held true of one pool in one bucket, and enough of what was
// not, so that merging forgets nothing that matters. Low and High are the bounds
// of all prices from sources as good as the winner's.
type Truth struct {
	Observation
	Low, High USD
}

// TruthOf makes a truth of one observation.
func TruthOf(o Observation) Truth { return Truth{Observation: o, Low: o.Price, High: o.Price} }

// Merge joins two truths about the same bucket. It is commutative, associative
// and idempotent, so any order and repetition of submissions leads to the same
// bucket. The higher priority wins; among equals the earliest observation, and
// of two from the same moment the smaller id.
func (t Truth) Merge(o Truth) Truth {
	tp, op := t.Source.Priority(), o.Source.Priority()
	switch {
	case op < tp:
		return t
	case op > tp:
		return o
	}
	winner := t
	if o.At.Before(t.At) || o.At.Equal(t.At) && o.ID < t.ID {
		winner = o
	}
	winner.Low, winner.High = min(t.Low, o.Low), max(t.High, o.High)
	return winner
}

// discrepant is how far reports of equal trust may differ before the difference is recorded.
const discrepant = 0.10

// Discrepancy is the largest difference of an equal from the winner as a share of
// the winner's price, 0 when it is 10 % or less.
func (t Truth) Discrepancy() float64 {
	if t.Price <= 0 {
		return 0
	}
	d := float64(max(t.High-t.Price, t.Price-t.Low)) / float64(t.Price)
	if d <= discrepant {
		return 0
	}
	return math.Round(d*1e4) / 1e4
}

// Verdict is the result of a submission.
type Verdict string

// Verdicts, in the legacy words.
const (
	NewSnapshot      Verdict = "new_snapshot"
	ReplacedExisting Verdict = "replaced_existing"
	LowerPriority    Verdict = "lower_priority"
	ExactDuplicate   Verdict = "exact_duplicate"
)

// JudgeObservation merges an observation into the truth held for its bucket; held is nil for
// an empty bucket.
func JudgeObservation(held *Truth, o Observation) (Truth, Verdict) {
	if held == nil {
		return TruthOf(o), NewSnapshot
	}
	merged := held.Merge(TruthOf(o))
	switch {
	case held.ID == o.ID:
		return *held, ExactDuplicate
	case merged.ID == o.ID:
		return merged, ReplacedExisting
	default:
		return merged, LowerPriority
	}
}
