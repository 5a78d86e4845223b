package pricing_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/pricing"
)

func at(s string) time.Time {
	t, err := pricing.ParseTime(s)
	if err != nil {
		panic(err)
	}
	return t
}

func TestPricesInRange(t *testing.T) {
	t.Parallel()

	for dollars, valid := range map[float64]bool{
		0:              false,
		-1:             false,
		0.0000004:      false,
		0.000001:       true,
		0.0125:         true,
		100:            true,
		10_000.0000004: true,
		10_000.000001:  false,
		1e300:          false,
	} {
		require.Equal(t, valid, pricing.FromFloat(dollars).Valid(), "%v", dollars)
	}
	require.Equal(t, "0.012500", pricing.FromFloat(0.0125).String())
	require.Equal(t, "-1.500000", pricing.FromFloat(-1.5).String())
}

func TestBucket(t *testing.T) {
	t.Parallel()

	half := time.FixedZone("half", -3*3600-1800) // a zone that a floor by local time would get wrong
	for moment, want := range map[time.Time]string{
		at("2026-11-22T10:00:00Z"):                                  "2026-11-22T10:00:00Z",
		at("2026-11-22T10:04:59.999999Z"):                           "2026-11-22T10:00:00Z",
		at("2026-11-22T10:05:00Z").In(half):                         "2026-11-22T10:05:00Z",
		time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC):            "1969-12-31T23:55:00Z",
		at("2026-11-22 23:59:59.123456").In(time.FixedZone("x", 1)): "2026-11-22T23:55:00Z",
	} {
		require.Equal(t, at(want), pricing.BucketOf(moment), "%s", moment)
	}
}

func TestTimesOfAgents(t *testing.T) {
	t.Parallel()

	want := at("2026-11-22T19:08:22.253038Z")
	require.Equal(t, want, at("2026-11-22T19:08:22.253038+00:00"))
	require.Equal(t, want, at("2026-11-22T19:08:22.253038"))
	require.Equal(t, want, at("2026-11-22T20:08:22.253038+01:00"))
	require.Equal(t, want.Truncate(time.Second), at("2026-11-22T19:08:22"), "no fraction when it is zero")
	_, err := pricing.ParseTime("yesterday")
	require.Error(t, err)
}

func TestWindow(t *testing.T) {
	t.Parallel()

	now := at("2026-11-22T12:00:00Z")
	for observed, ok := range map[string]bool{
		"2026-11-22T12:05:00Z": true,
		"2026-11-22T12:05:01Z": false,
		"2026-10-23T12:00:00Z": true,
		"2026-10-23T11:59:59Z": false,
		"1970-01-01T00:00:00Z": false,
	} {
		require.Equal(t, ok, pricing.CheckTime(at(observed), now) == nil, observed)
	}
}

// TestPrioritiesAndConfidence holds the numbers of the contract.
func TestPrioritiesAndConfidence(t *testing.T) {
	t.Parallel()

	order := []pricing.Source{pricing.Primary, pricing.ReplicaAutomatic, pricing.ReplicaManual, pricing.Collector,
		pricing.Interpolated, "unknown"}
	for i := range order[1:] {
		require.Greater(t, order[i].Priority(), order[i+1].Priority())
	}
	for source, confidence := range map[pricing.Source]float64{
		pricing.Primary:          1.00,
		pricing.ReplicaAutomatic: 0.95,
		pricing.ReplicaManual:    0.95,
		pricing.Interpolated:     0.70,
		"unknown":                0.50,
	} {
		require.InDelta(t, confidence, source.Confidence(), 1e-9, source)
	}
}

func TestVerdicts(t *testing.T) {
	t.Parallel()

	see := func(id string, source pricing.Source, dollars float64, when string) pricing.Observation {
		return pricing.Observation{ID: id, Source: source, Price: pricing.FromFloat(dollars), At: at(when)}
	}
	first := see("b", pricing.ReplicaManual, 0.0100, "2026-11-22T10:01:00Z")
	held, verdict := pricing.JudgeObservation(nil, first)
	require.Equal(t, pricing.NewSnapshot, verdict)
	for _, c := range []struct {
		name        string
		o           pricing.Observation
		verdict     pricing.Verdict
		winner      string
		discrepancy float64
	}{
		{"the same again", first, pricing.ExactDuplicate, "b", 0},
		{"interpolated is never better", see("a", pricing.Interpolated, 0.02, "2026-11-22T10:00:00Z"),
			pricing.LowerPriority, "b", 0},
		{"an equal that comes later", see("c", pricing.ReplicaManual, 0.0100, "2026-11-22T10:02:00Z"),
			pricing.LowerPriority, "b", 0},
		{"an equal from before corrects it", see("c", pricing.ReplicaManual, 0.0100, "2026-11-22T10:00:30Z"),
			pricing.ReplacedExisting, "c", 0},
		{"10 % is no discrepancy", see("c", pricing.ReplicaManual, 0.0110, "2026-11-22T10:02:00Z"),
			pricing.LowerPriority, "b", 0},
		{"11 % is one", see("c", pricing.ReplicaManual, 0.0111, "2026-11-22T10:02:00Z"), pricing.LowerPriority, "b",
			0.11},
		{"so is 12 % less", see("c", pricing.ReplicaManual, 0.0088, "2026-11-22T10:02:00Z"), pricing.LowerPriority,
			"b", 0.12},
		{"who lives there knows better", see("c", pricing.Primary, 0.02, "2026-11-22T10:04:00Z"),
			pricing.ReplacedExisting, "c", 0},
	} {
		now, verdict := pricing.JudgeObservation(&held, c.o)
		require.Equal(t, c.verdict, verdict, c.name)
		require.Equal(t, c.winner, now.ID, c.name)
		require.InDelta(t, c.discrepancy, now.Discrepancy(), 1e-9, c.name)
	}
}

// TestAnyOrderGivesTheSameBucket: submissions come late, twice and in any order.
func TestAnyOrderGivesTheSameBucket(t *testing.T) {
	t.Parallel()

	sources := []pricing.Source{pricing.Primary, pricing.ReplicaAutomatic, pricing.ReplicaManual, pricing.Collector,
		pricing.Interpolated}
	observation := rapid.Custom(func(t *rapid.T) pricing.Observation {
		return pricing.Observation{
			ID:     rapid.StringMatching(`[a-f]{2}`).Draw(t, "id"),
			Source: rapid.SampledFrom(sources).Draw(t, "source"),
			Price:  pricing.USD(rapid.Int64Range(1, 50).Draw(t, "price")),
			At:     time.Unix(rapid.Int64Range(0, 5).Draw(t, "at"), 0).UTC(),
		}
	})
	fold := func(list []pricing.Observation) pricing.Truth {
		var held *pricing.Truth
		for _, o := range list {
			next, _ := pricing.JudgeObservation(held, o)
			held = &next
		}
		return *held
	}
	rapid.Check(t, func(t *rapid.T) {
		// An id names one observation: of two with one id, the first is meant.
		list := rapid.SliceOfNDistinct(observation, 1, 12, func(o pricing.Observation) string { return o.ID }).Draw(t,
			"list")
		repeated := append(append([]pricing.Observation{}, list...),
			rapid.SliceOf(rapid.SampledFrom(list)).Draw(t, "again")...)
		shuffled := rapid.Permutation(repeated).Draw(t, "order")
		if a, b := fold(list), fold(shuffled); a != b {
			t.Fatalf("%+v and %+v", a, b)
		}
	})
}

func TestFaultsAreTheCallers(t *testing.T) {
	t.Parallel()

	for _, code := range []fault.Code{pricing.Malformed, pricing.OutOfRange, pricing.OutOfTime} {
		require.Equal(t, fault.Invalid, code.Kind())
	}
}
