package app

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"spotkeeper/internal/postgres/metrics"
)

// spendGauges shows what runs and what it costs, as Postgres has it when it is scraped.
type spendGauges struct {
	read func(context.Context) (*metrics.Spend, error)
	log  *slog.Logger

	spend, instead, standbys, unpriced, instances, agents *prometheus.Desc
}

func newSpendGauges(read func(context.Context) (*metrics.Spend, error), log *slog.Logger) *spendGauges {
	return &spendGauges{
		read: read, log: log,
		spend: prometheus.NewDesc("spotkeeper_spend_dollars_per_hour", "What all instances cost now, by purchase.",
			[]string{"purchase"}, nil),
		instead: prometheus.NewDesc("spotkeeper_ondemand_equivalent_dollars_per_hour",
			"What the primaries would cost at on-demand prices.", nil, nil),
		standbys: prometheus.NewDesc("spotkeeper_standby_dollars_per_hour",
			"What instances beside the primaries cost now: standbys, and both instances during moves.", nil, nil),
		unpriced: prometheus.NewDesc("spotkeeper_instances_unpriced",
			"Instances whose price is not known; they are missing in the costs.", nil, nil),
		instances: prometheus.NewDesc("spotkeeper_instances", "Instances that live, by region, part and purchase.",
			[]string{"region", "role", "purchase"}, nil),
		agents: prometheus.NewDesc("spotkeeper_agent_info",
			"Agents by the version that they name, and by what they proved themselves with; the most frequent twenty versions.",
			[]string{"version", "join"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (g *spendGauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.spend, g.instead, g.standbys, g.unpriced, g.instances, g.agents} {
		out <- d
	}
}

// Collect implements prometheus.Collector. With the database away there is nothing to show.
func (g *spendGauges) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWithin)
	defer cancel()
	s, err := g.read(ctx)
	if err != nil {
		g.log.WarnContext(ctx, "the costs cannot be read", "error", err)
		return
	}
	show := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	show(g.spend, s.Spot, "spot")
	show(g.spend, s.OnDemand, "ondemand")
	show(g.instead, s.Instead)
	show(g.standbys, s.Standbys)
	show(g.unpriced, float64(s.Unpriced))
	for _, i := range s.Instances {
		show(g.instances, float64(i.N), i.Region, i.Role, i.Mode)
	}
	for _, a := range s.Agents {
		show(g.agents, float64(a.N), a.Version, a.Join)
	}
}
