package pages

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"spotkeeper/internal/postgres/views"
)

func failoverOf(client string, took, left float64) views.FailoverView {
	return views.FailoverView{ClientID: client, ClientName: client, Outcome: "promoted", TookMs: &took, LeftMs: &left}
}

func TestTimesOfFailovers(t *testing.T) {
	t.Parallel()

	none := timesOf(nil)
	require.Zero(t, none.Count)
	require.Nil(t, none.P50)
	require.Len(t, none.Buckets, len(failoverBounds)+1)

	lost := views.FailoverView{ClientID: "b", Outcome: "lost"}
	all := []views.FailoverView{
		failoverOf("a", 120_000, 0), failoverOf("a", 400, 119_600), failoverOf("a", 130_000, -10_000), lost,
	}
	got := timesOf(all)
	require.Equal(t, []int{4, 1, 2}, []int{got.Count, got.Lost, got.InTime})
	require.InDelta(t, 120_000, *got.P50, 0)
	require.InDelta(t, 130_000, *got.Max, 0)
	require.InDelta(t, -10_000, *got.LeastGap, 0)
	last := got.Buckets[len(got.Buckets)-1]
	require.Nil(t, last.UpTo)
	require.Equal(t, 2, last.Count, "what was lost is as late as what came after the deadline")
	require.Equal(t, 1, got.Buckets[len(got.Buckets)-2].Count, "two minutes are in time")
	require.Equal(t, []string{"b", "a"}, []string{timesByClient(all)[0].ClientID, timesByClient(all)[1].ClientID})
}

func TestBucketsOfFailoversCountEachOnce(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		took := rapid.SliceOf(rapid.Float64Range(0, 300_000)).Draw(t, "took")
		var all []views.FailoverView
		for _, ms := range took {
			all = append(all, failoverOf("a", ms, 120_000-ms))
		}
		got, counted := timesOf(all), 0
		for i, b := range got.Buckets {
			counted += b.Count
			if i > 0 {
				require.InDelta(t, *got.Buckets[i-1].UpTo, b.From, 0)
			}
		}
		require.Equal(t, len(took), counted)
		if len(took) > 0 {
			require.LessOrEqual(t, *got.P50, *got.P90)
			require.LessOrEqual(t, *got.P99, *got.Max)
			require.Contains(t, took, *got.P90)
		}
	})
}

// TestFailoverMembers: each figure of the failovers has its own member.
func TestFailoverMembers(t *testing.T) {
	t.Parallel()
	var found []views.FailoverView
	for n := range 200 {
		took, left := float64(n+1), float64(n-3)
		found = append(found, views.FailoverView{TookMs: &took, LeftMs: &left})
	}
	got := timesOf(append(found, views.FailoverView{}))
	buckets := got.Buckets
	got.Buckets = buckets[:0]
	raw, err := json.Marshal(got)
	require.NoError(t, err)
	require.JSONEq(t, `{"count": 201, "lost": 1, "in_time": 197, "p50_ms": 100, "p90_ms": 180, "p99_ms": 198, "max_ms": 200,
		"least_left_ms": -3, "buckets": []}`, string(raw))
	raw, err = json.Marshal(failoverBucket{From: 7, UpTo: &failoverBounds[0], Count: 9})
	require.NoError(t, err)
	require.JSONEq(t, fmt.Sprintf(`{"from_ms": 7, "up_to_ms": %v, "count": 9}`, failoverBounds[0]), string(raw))
	launched, ready := 11.0, 12.0
	raw, err = json.Marshal(newFailoverItem(views.FailoverView{LaunchedMs: &launched, ReadyMs: &ready}))
	require.NoError(t, err)
	require.Contains(t, string(raw), `"launched_ms":11`)
	require.Contains(t, string(raw), `"ready_ms":12`)
}
