// Package pricing judges what pools cost: which reports are believed, which of
// several prices for the same five minutes is the true one, what is put into a
// gap, and what was saved. It is pure: time comes in, prices come out.
package pricing

import (
	"fmt"
	"math"
	"time"

	"spotkeeper/internal/domain/fault"
)

// Ways to fail.
var (
	Malformed  = fault.Define("pricing.malformed_report", fault.Invalid)
	OutOfRange = fault.Define("pricing.price_out_of_range", fault.Invalid)
	OutOfTime  = fault.Define("pricing.time_out_of_window", fault.Invalid)
)

// USD is an amount in millionths of a dollar; prices are per hour. Money is never
// a float where it is compared or summed.
type USD int64

// Dollar is one US dollar.
const Dollar USD = 1_000_000

// Bounds of a price that is believed.
const (
	MinPrice USD = 1
	MaxPrice     = 10_000 * Dollar // the largest types are listed above 200
)

// Sentinel is what deployed agents report as the on-demand price when they could
// not look it up. It is not a price.
const Sentinel = Dollar / 10

// FromFloat rounds dollars to millionths. What is no number becomes 0, which is
// no price.
func FromFloat(dollars float64) USD {
	if math.IsNaN(dollars) || math.IsInf(dollars, 0) || math.Abs(dollars) > 1e9 {
		return 0
	}
	return USD(math.Round(dollars * float64(Dollar)))
}

// Float returns dollars.
func (u USD) Float() float64 { return float64(u) / float64(Dollar) }

// String writes dollars with six digits, as numeric columns hold them.
func (u USD) String() string {
	sign := ""
	if u < 0 {
		sign, u = "-", -u
	}
	return fmt.Sprintf("%s%d.%06d", sign, u/Dollar, u%Dollar)
}

// Valid says whether the amount is a price that is believed: above 0, at most 10,000
// dollars per hour.
func (u USD) Valid() bool { return u >= MinPrice && u <= MaxPrice }

// BucketSize is the grain of the truth about prices.
const BucketSize = 5 * time.Minute

// BucketOf returns the five minutes that a moment belongs to. It counts from the
// epoch, so no time zone moves it.
func BucketOf(t time.Time) time.Time {
	step := int64(BucketSize / time.Second)
	s := t.Unix()
	return time.Unix(s-((s%step)+step)%step, 0).UTC()
}

// Window is the range of times of observation that are believed.
const (
	MaxAge  = 30 * 24 * time.Hour // as long as submissions are kept
	MaxSkew = 5 * time.Minute     // a reporter's clock may be ahead so much
)

// CheckTime judges when something was observed. Fails with
// pricing.time_out_of_window.
func CheckTime(observed, now time.Time) error {
	switch {
	case observed.After(now.Add(MaxSkew)):
		return OutOfTime.New("collected_at %s is in the future", observed.UTC().Format(time.RFC3339))
	case observed.Before(now.Add(-MaxAge)):
		return OutOfTime.New("collected_at %s is more than %d days ago", observed.UTC().Format(time.RFC3339),
			int(MaxAge.Hours()/24))
	}
	return nil
}
