package pages

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"spotkeeper/api/web"
	"spotkeeper/internal/postgres/views"
)

// knownPrice is an entry of a series.
type knownPrice struct{ series, entry int }

// eachMoment calls fn for every time at which a series has a price, in order of time,
// with these series and the first on-demand price among them, 0 for none. The
// list that fn gets is overwritten after each call.
func eachMoment(series []views.PriceSeries, fn func(at time.Time, onDemand float64, known []knownPrice)) {
	next := make([]int, len(series)) // the first entry of each series that is not yet in the answer
	known := make([]knownPrice, 0, len(series))
	for {
		var at time.Time
		onDemand := 0.0
		known = known[:0]
		for i := range series {
			s := &series[i]
			if next[i] == len(s.At) {
				continue
			}
			switch t := s.At[next[i]]; {
			case len(known) == 0 || t.Before(at):
				at, onDemand, known = t, 0, known[:0]
			case t.After(at):
				continue
			}
			known = append(known, knownPrice{i, next[i]})
			if onDemand == 0 {
				onDemand = s.OnDemand[next[i]]
			}
		}
		if len(known) == 0 {
			return
		}
		fn(at, onDemand, known)
		for _, x := range known {
			next[x.series]++
		}
	}
}

// writeChart quotes the names of the pools once and not once per point.
func writeChart(
	q chartQuestion,
	pools []views.PoolPriceView,
	series []views.PriceSeries,
) *web.Written[priceHistoryAnswer] {
	type column struct {
		id, key []byte
		series  int // -1: no price is known
	}
	columns := make([]column, 0, len(pools))
	for _, x := range pools {
		columns = append(columns, column{
			id: append(web.AppendText(nil, x.ID), ':'), key: append(web.AppendText(nil, "pool_"+x.ID), ':'),
			series: slices.IndexFunc(series, func(s views.PriceSeries) bool { return s.PoolID == x.ID }),
		})
	}
	slices.SortFunc(columns, func(a, b column) int { return slices.Compare(a.id, b.id) })
	size := 256
	for _, s := range series {
		size += len(s.At) * 96
	}
	b := append(make([]byte, 0, size), `{"data":[`...)
	entries, first := make([]int, len(series)), true
	eachMoment(series, func(at time.Time, onDemand float64, known []knownPrice) {
		for i := range entries {
			entries[i] = -1
		}
		for _, x := range known {
			entries[x.series] = x.entry
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, `{"measured":{`...)
		comma := false
		for _, c := range columns {
			if c.series < 0 || entries[c.series] < 0 {
				continue
			}
			if comma {
				b = append(b, ',')
			}
			comma = true
			b = web.AppendNumber(append(b, c.id...), series[c.series].Measured[entries[c.series]])
		}
		b = web.AppendNumber(append(b, `},"onDemand":`...), cmp.Or(onDemand, q.onDemand))
		for _, c := range columns {
			b = append(append(b, ','), c.key...)
			if c.series < 0 || entries[c.series] < 0 {
				b = append(b, "null"...)
			} else {
				b = web.AppendNumber(b, series[c.series].Price[entries[c.series]])
			}
		}
		b = append(b, `,"time":"`...)
		b = at.UTC().AppendFormat(b, q.layout)
		b = append(b, `"}`...)
	})
	b = append(b, `],"pools":`...)
	b = web.AppendList(b, pools, func(b []byte, x *views.PoolPriceView) []byte {
		b = web.AppendText(append(b, `{"id":`...), x.ID)
		b = web.AppendText(append(b, `,"name":`...), web.PoolName(x.InstanceType, x.AZ))
		b = web.AppendText(append(b, `,"az":`...), x.AZ)
		b = web.AppendText(append(b, `,"key":`...), "pool_"+x.ID)
		return append(b, '}')
	})
	b = web.AppendNumber(append(b, `,"onDemandPrice":`...), q.onDemand)
	return web.FinishAnswer[priceHistoryAnswer](append(b, '}'))
}

// writePricingHistory writes the same prices as lists; agentID is null where the
// caller named no agent.
func writePricingHistory(
	q chartQuestion,
	days int,
	agentID *string,
	series []views.PriceSeries,
) *web.Written[pricingHistoryAnswer] {
	size := 256
	names := make([][]byte, len(series))
	for i, s := range series {
		names[i] = append(web.AppendText([]byte(`{"pool_id":`), s.PoolID), `,"az":`...)
		names[i] = append(web.AppendText(names[i], s.AZ), `,"price":`...)
		size += len(s.At) * 128
	}
	points := 0
	b := append(make([]byte, 0, size), `{"history":[`...)
	eachMoment(series, func(at time.Time, onDemand float64, known []knownPrice) {
		if points++; points > 1 {
			b = append(b, ',')
		}
		b = at.UTC().AppendFormat(append(b, `{"timestamp":"`...), q.layout)
		b = web.AppendNumber(append(b, `","ondemand_price":`...), cmp.Or(onDemand, q.onDemand))
		b = web.AppendList(append(b, `,"spot_pools":`...), known, func(b []byte, x *knownPrice) []byte {
			b = web.AppendNumber(append(b, names[x.series]...), series[x.series].Price[x.entry])
			b = web.AppendNumber(append(b, `,"measured":`...), series[x.series].Measured[x.entry])
			return append(b, '}')
		})
		b = append(b, '}')
	})
	b = strconv.AppendInt(append(b, `],"days":`...), int64(days), 10)
	b = strconv.AppendInt(append(b, `,"data_points":`...), int64(points), 10)
	b = web.AppendOptionalText(append(b, `,"agent_id":`...), agentID)
	b = web.AppendText(append(b, `,"instance_type":`...), q.instanceType)
	b = web.AppendText(append(b, `,"region":`...), q.region)
	return web.FinishAnswer[pricingHistoryAnswer](append(b, '}'))
}
