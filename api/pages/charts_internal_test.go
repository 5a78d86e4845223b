package pages

import (
	"cmp"
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/api/web"
	"spotkeeper/internal/postgres/views"
)

// plainChart is a chart as its documented type, point by point.
func plainChart(q chartQuestion, pools []views.PoolPriceView, series []views.PriceSeries) *priceHistoryAnswer {
	out := &priceHistoryAnswer{Data: []map[string]any{}, Pools: []keyedPool{}, OnDemandPrice: q.onDemand}
	for _, x := range pools {
		out.Pools = append(out.Pools, keyedPool{
			namedPool: namedPool{ID: x.ID, Name: web.PoolName(x.InstanceType, x.AZ), AZ: x.AZ},
			Key:       "pool_" + x.ID,
		})
	}
	for at := q.since; at.Before(q.since.Add(24 * time.Hour)); at = at.Add(time.Hour) {
		point := map[string]any{"time": at.Format(q.layout), "measured": map[string]float64{}}
		for _, x := range pools {
			point["pool_"+x.ID] = nil
		}
		for _, s := range series {
			for i := range s.At {
				if !s.At[i].Equal(at) {
					continue
				}
				point["pool_"+s.PoolID] = s.Price[i]
				point["measured"].(map[string]float64)[s.PoolID] = s.Measured[i]
				if _, present := point["onDemand"]; !present && s.OnDemand[i] > 0 {
					point["onDemand"] = s.OnDemand[i]
				}
			}
		}
		if _, present := point["onDemand"]; !present {
			point["onDemand"] = q.onDemand
		}
		if len(point["measured"].(map[string]float64)) > 0 {
			out.Data = append(out.Data, point)
		}
	}
	return out
}

// plainHistory is the same prices as the other documented type.
func plainHistory(q chartQuestion, series []views.PriceSeries) *pricingHistoryAnswer {
	out := &pricingHistoryAnswer{
		History:      []historyPoint{},
		Days:         7,
		AgentID:      &q.region,
		InstanceType: q.instanceType,
		Region:       q.region,
	}
	eachMoment(series, func(at time.Time, onDemand float64, known []knownPrice) {
		point := historyPoint{Timestamp: at.UTC().Format(q.layout), OnDemand: cmp.Or(onDemand, q.onDemand)}
		for _, x := range known {
			s := series[x.series]
			point.SpotPools = append(point.SpotPools, zonedPrice{
				PoolID:   s.PoolID,
				AZ:       s.AZ,
				Price:    s.Price[x.entry],
				Measured: s.Measured[x.entry],
			})
		}
		out.History = append(out.History, point)
	})
	out.DataPoints = len(out.History)
	return out
}

// TestAChartIsWrittenAsDocumented: with pools that know nothing, gaps, and names that
// have to be quoted.
func TestAChartIsWrittenAsDocumented(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // reproducible charts
	for range 200 {
		q := chartQuestion{
			onDemand:     0.0416,
			unit:         "hour",
			instanceType: "t3",
			region:       "us",
			layout:       "2006-01-02 15:00",
			since:        time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		}
		var pools []views.PoolPriceView
		series := []views.PriceSeries{}
		for _, az := range []string{`us-east-1b`, `us "east"`, "us-östlich", "us-east-1a"}[:random.IntN(5)] {
			pools = append(pools, views.PoolPriceView{ID: "t3." + az, InstanceType: "t3", AZ: az})
			s := views.PriceSeries{PoolID: "t3." + az, AZ: az}
			for hour := range 24 {
				if random.IntN(3) > 0 {
					s.At, s.Price = append(s.At,
						q.since.Add(time.Duration(hour)*time.Hour).In(time.FixedZone("", 3600))), append(s.Price,
						random.Float64()/float64(1+random.IntN(1e7)))
					s.OnDemand, s.Measured = append(s.OnDemand,
						float64(random.IntN(2))*random.Float64()), append(s.Measured, float64(random.IntN(13))/12)
				}
			}
			if len(s.At) > 0 {
				series = append(series, s)
			}
		}
		want, err := web.EncodeJSON(plainChart(q, pools, series))
		require.NoError(t, err)
		got := *writeChart(q, pools, series)
		require.True(t, json.Valid(got))
		require.Equal(t, string(want), string(got))

		want, err = web.EncodeJSON(plainHistory(q, series))
		require.NoError(t, err)
		require.Equal(t, string(want), string(*writePricingHistory(q, 7, &q.region, series)))
	}
}
