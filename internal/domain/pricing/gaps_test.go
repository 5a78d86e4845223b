package pricing_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/pricing"
)

var base = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

// series makes points of bucket numbers and dollars.
func series(pairs ...float64) []pricing.MeasuredPoint {
	var out []pricing.MeasuredPoint
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, pricing.MeasuredPoint{
			At:       base.Add(time.Duration(pairs[i]) * pricing.BucketSize),
			Price:    pricing.FromFloat(pairs[i+1]),
			OnDemand: pricing.FromFloat(1),
		})
	}
	return out
}

func fill(points []pricing.MeasuredPoint, peers ...[]pricing.MeasuredPoint) pricing.Filling {
	return pricing.FillGaps(points, peers, base, base.Add(24*time.Hour))
}

// TestMethods holds the table of the contract: a gap is counted from neighbour to
// neighbour, so one missing bucket is 2.
func TestMethods(t *testing.T) {
	t.Parallel()

	peer := series(0, 2, 60, 2.2)
	for _, c := range []struct {
		gap        float64
		peers      [][]pricing.MeasuredPoint
		method     pricing.Method
		confidence float64
	}{
		{1, nil, "", 0},
		{2, nil, pricing.Linear, 0.85},
		{3, nil, pricing.WeightedAverage, 0.75},
		{6, nil, pricing.WeightedAverage, 0.75},
		{7, nil, pricing.Linear, 0.70},
		{7, [][]pricing.MeasuredPoint{series(0, 2, 7, 2.2)}, pricing.CrossPool, 0.70},
		{24, [][]pricing.MeasuredPoint{series(0, 2, 24, 2.2)}, pricing.CrossPool, 0.70},
		{24, [][]pricing.MeasuredPoint{peer}, pricing.Linear, 0.70}, // the peer was not seen near the end
		{25, [][]pricing.MeasuredPoint{series(0, 2, 25, 2.2)}, "", 0},
	} {
		got := fill(series(0, 1, c.gap, 2), c.peers...)
		if c.method == "" {
			require.Empty(t, got.Filled, "gap %v", c.gap)
			require.Equal(t, c.gap > 24, got.TooLong == 1)
			continue
		}
		require.Len(t, got.Filled, int(c.gap)-1, "gap %v", c.gap)
		for _, f := range got.Filled {
			require.Equal(t, c.method, f.Method, "gap %v", c.gap)
			require.InDelta(t, c.confidence, f.Confidence, 1e-9)
			require.Equal(t, pricing.FromFloat(1), f.OnDemand)
		}
	}
}

func TestLinearIsByTimeToSixDigits(t *testing.T) {
	t.Parallel()

	got := fill(series(10, 0.010001, 12, 0.010004))
	require.Len(t, got.Filled, 1)
	require.Equal(t, "0.010003", got.Filled[0].Price.String())
	require.Equal(t, base.Add(55*time.Minute), got.Filled[0].At)
}

// TestWeightedAverageByHand: at bucket 10 between 9 and 12, the six nearest are
// 9, 12, 8, 13, 7, 6 (of those within an hour of the gap), weighted 1/(s+1).
func TestWeightedAverageByHand(t *testing.T) {
	t.Parallel()

	got := fill(series(5, 9, 6, 1, 7, 2, 8, 3, 9, 4, 12, 5, 13, 6))
	require.Len(t, got.Filled, 2)
	sum, weight := 0.0, 0.0
	for _, p := range [][2]float64{{9, 4}, {12, 5}, {8, 3}, {13, 6}, {7, 2}, {6, 1}} {
		distance := (p[0] - 10) * 300
		w := 1 / (max(distance, -distance) + 1)
		sum, weight = sum+w*p[1], weight+w
	}
	require.InDelta(t, sum/weight, got.Filled[0].Price.Float(), 1e-6)

	far := fill(series(0, 100, 13, 1, 16, 1)) // bucket 0 is more than an hour before the gap
	for _, f := range far.Filled {
		if f.Method == pricing.WeightedAverage {
			require.Equal(t, "1.000000", f.Price.String())
		}
	}
}

func TestCrossPoolTakesTheMedian(t *testing.T) {
	t.Parallel()

	own := series(0, 0.5, 10, 0.9)
	up10, up20, down50 := series(0, 1, 10, 1.1), series(0, 1, 10, 1.2), series(0, 1, 10, 0.5)
	for _, c := range []struct {
		peers [][]pricing.MeasuredPoint
		want  string
	}{
		{[][]pricing.MeasuredPoint{up10}, "0.550000"},
		{[][]pricing.MeasuredPoint{up20, down50, up10}, "0.550000"},
		{[][]pricing.MeasuredPoint{up20, up10}, "0.575000"},
	} {
		for _, f := range fill(own, c.peers...).Filled {
			require.Equal(t, c.want, f.Price.String())
		}
	}
}

// TestFillStaysInItsWindow and reports what it could not fill.
func TestFillStaysInItsWindow(t *testing.T) {
	t.Parallel()

	points := series(-2, 1, 2, 1, 100, 1, 102, 1)
	got := pricing.FillGaps(points, nil, base, base.Add(10*pricing.BucketSize))
	require.Len(t, got.Filled, 2, "buckets 0 and 1; the bucket before the window stays as it is")
	require.Equal(t, base, got.Filled[0].At)
	require.Equal(t, 1, got.TooLong)
	require.Zero(t, got.MissingBoundaries)
	require.Equal(t, 5, pricing.FillGaps(series(3, 1, 7, 1), nil, base, base.Add(10*pricing.BucketSize)).MissingBoundaries)
	require.Equal(t, 10, pricing.FillGaps(nil, nil, base, base.Add(10*pricing.BucketSize)).MissingBoundaries)
}
