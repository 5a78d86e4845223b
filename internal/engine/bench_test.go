package engine_test

import (
	"testing"
	"time"

	"spotkeeper/internal/engine"
	"spotkeeper/internal/testkit/cpu"
)

// BenchmarkAsk is a decision as it is made live: a day of five-minute prices for
// three pools, every sentence written, the input's digest taken.
func BenchmarkAsk(b *testing.B) {
	in := onSpot(.03, .025, .04)
	for i := range in.Pools {
		p := &in.Pools[i]
		price := p.Price.USD
		p.History = nil
		for back := 288; back > 0; back-- {
			p.History = append(p.History, engine.Price{
				USD: price * (1 + float64(back%7)/100),
				At:  now.Add(-time.Duration(back) * 5 * time.Minute),
			})
		}
	}
	for name, decide := range map[string]func(){
		"with digest":    func() { engine.Decide(b.Context(), engine.Rules{}, in) },
		"without digest": func() { engine.DecideUnrecorded(b.Context(), engine.Rules{}, in) },
	} {
		b.Run(name, func(b *testing.B) {
			used := cpu.ProcessorTime()
			for b.Loop() {
				decide()
			}
			cpu.ReportCost(b, b.N, b.Elapsed(), used)
		})
	}
}
