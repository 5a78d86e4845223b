package engine

import (
	"fmt"
	"math"
	"slices"
)

// Feature documents one input of a model.
type Feature struct {
	Name    string `json:"name"`
	Unit    string `json:"unit"`
	Meaning string `json:"meaning"`
}

// FeatureList names the inputs of a model for each place, in this order. The order
// is part of the models' contract: new features are appended and the list's
// version counts up.
var FeatureList = []Feature{
	{"price_ratio", "share of on-demand", "the pool's price now"},
	{"price_mean_day", "share of on-demand", "its mean over the last 24 hours"},
	{"price_rise", "share", "how far the price stands above that mean; negative below it"},
	{"price_spread_day", "share of on-demand", "highest minus lowest price of the last 24 hours"},
	{"interruptions_30d", "count", "interruptions met in the pool in 30 days"},
	{"instance_hours_30d", "hours", "how long instances lived in the pool in 30 days, all together"},
	{"interruptions_per_day", "per instance-day",
		"their rate, drawn towards the mean of the candidates where little is known"},
	{"age", "hours", "of the instance that would live there; 0 for a place to move to"},
	{"current", "0 or 1", "whether the instance lives there now"},
	{"hour", "0 to 23, UTC", "hour of the day"},
	{"weekday", "0 to 6, Sunday is 0, UTC", "day of the week"},
}

// FeatureVersion counts changes of FeatureList.
const FeatureVersion = 1

// Features computes the list for each place, one row after the other. Prices
// need the on-demand reference; an input without one is never asked about.
func Features(in Input, places []Place) []float32 {
	prior := priorRate(in.Pools)
	rows := make([]float32, 0, len(places)*len(FeatureList))
	for _, p := range places {
		price := p.Pool.Price.USD
		mean, known := p.Pool.mean()
		if !known {
			mean = price
		}
		low, high := price, price
		for i := range p.Pool.History {
			low, high = min(low, p.Pool.History[i].USD), max(high, p.Pool.History[i].USD)
		}
		var seen Interruptions
		if p.Pool.Interruptions != nil {
			seen = *p.Pool.Interruptions
		}
		current := 0.0
		if p.Current {
			current = 1
		}
		for _, f := range []float64{
			price / in.OnDemand.USD, mean / in.OnDemand.USD, price/math.Max(mean, 1e-9) - 1,
			(high - low) / in.OnDemand.USD,
			float64(seen.Count), seen.hours(), seen.hazard(prior) * day.Hours(),
			p.Age.Hours(), current, float64(in.Now.UTC().Hour()), float64(in.Now.UTC().Weekday()),
		} {
			rows = append(rows, float32(f))
		}
	}
	return rows
}

// FeatureRows is Features with a row for each place.
func FeatureRows(in Input, places []Place) [][]float32 {
	return slices.Collect(slices.Chunk(Features(in, places), len(FeatureList)))
}

// FeatureNames lists the names in order.
func FeatureNames() []string {
	names := make([]string, len(FeatureList))
	for i, f := range FeatureList {
		names[i] = f.Name
	}
	return names
}

// CheckFeatures compares the list a model says it was trained on with ours.
// Fails with engine.other_features.
func CheckFeatures(names []string) error {
	if slices.Equal(names, FeatureNames()) {
		return nil
	}
	return OtherFeatures.New("the model was made for the features %v; version %d of the list is %v", names,
		FeatureVersion, fmt.Sprint(FeatureNames()))
}
