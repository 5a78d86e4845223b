package app

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"spotkeeper/internal/postgres/metrics"
)

// outcomeStore is what outcomeCounts reads.
type outcomeStore interface {
	Now(ctx context.Context) (time.Time, error)
	Failovers(ctx context.Context, since time.Time) ([]metrics.Failover, error)
	Launches(ctx context.Context, since time.Time) ([]metrics.LaunchEnd, error)
	EndedSwitches(ctx context.Context, since time.Time) ([]metrics.SwitchEnd, error)
}

// outcomeCounts counts how things end anywhere in the fleet, by reading rows when it is
// scraped. Every process counts all of them, from its own start on, so that the counters
// are there whichever process is left: rules take their maximum, not their sum.
type outcomeCounts struct {
	store outcomeStore
	log   *slog.Logger

	mu   sync.Mutex // of a scrape, which may read the database
	from time.Time  // the first scrape; what ended before it is not counted
	at   time.Time  // until then everything was counted
	seen map[string]time.Time
	pool map[string]bool // that have a label

	failovers, launches, moves *prometheus.CounterVec
	rebalances, cameTrue       *prometheus.CounterVec
	step                       *prometheus.HistogramVec
	left                       prometheus.Histogram
	all                        []prometheus.Collector
}

// How far back a look begins again: rows are stamped before they are committed. And how
// far back one begins at most, after a time without scrapes.
const (
	countOverlap = 15 * time.Second
	countMost    = time.Hour
)

// boundedPools is how many pools get a label of their own. Agents name the pools of
// instances that are not proven, so their number has no other bound.
const boundedPools = 500

func newOutcomeCounts(store outcomeStore, log *slog.Logger) *outcomeCounts {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	c := &outcomeCounts{
		store: store, log: log, seen: map[string]time.Time{}, pool: map[string]bool{},
		failovers: counter("spotkeeper_failovers_total",
			"Termination notices that were decided: promoted or lost, by what took over and through which door the notice came.",
			"outcome", "path", "door"),
		launches: counter("spotkeeper_launch_attempts_total",
			"Attempts to launch an instance, by pool; result is launched or the code of the refusal.", "pool", "mode", "result"),
		moves: counter("spotkeeper_moves_total",
			"Voluntary moves that ended, by their kind, how, and whether the engine or a person asked.",
			"kind", "result", "asked"),
		rebalances: counter("spotkeeper_rebalances_total", "Rebalance recommendations, by pool.", "pool"),
		cameTrue: counter("spotkeeper_rebalance_came_true_total",
			"Terminations that a rebalance recommendation had announced, by pool.", "pool"),
		step: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "spotkeeper_failover_seconds",
			Help:    "From a termination notice to a step of its failover: launched, running, ready, decided.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2, 5, 10, 20, 30, 45, 60, 75, 90, 105, 120, 180},
		}, []string{"step", "path"}),
		left: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "spotkeeper_failover_seconds_left",
			Help:    "Seconds to the deadline of a termination notice when the primary changed.",
			Buckets: []float64{0, 5, 10, 15, 20, 30, 45, 60, 75, 90, 105, 120},
		}),
	}
	c.all = []prometheus.Collector{c.failovers, c.launches, c.moves, c.rebalances, c.cameTrue, c.step, c.left}
	// A counter that is born at its first value hides that value from increase().
	for _, door := range []string{"http", "eventbridge", "describe", "sweep"} {
		c.failovers.WithLabelValues("lost", "none", door)
		for _, path := range []string{"standby", "launch", "ondemand", "switch", "reported"} {
			c.failovers.WithLabelValues("promoted", path, door)
		}
	}
	for _, kind := range []string{"switch", "promotion"} {
		for _, result := range []string{"succeeded", "failed", "cancelled"} {
			c.moves.WithLabelValues(kind, result, "person")
		}
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *outcomeCounts) Describe(out chan<- *prometheus.Desc) {
	for _, one := range c.all {
		one.Describe(out)
	}
}

// Collect implements prometheus.Collector. With the database away it shows what was
// counted before.
func (c *outcomeCounts) Collect(out chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWithin)
	defer cancel()
	if err := c.look(ctx); err != nil {
		c.log.WarnContext(ctx, "outcomes cannot be counted", "error", err)
	}
	for _, one := range c.all {
		one.Collect(out)
	}
}

// look counts what ended since the last look. When one of the reads fails, the next
// look begins where this one did, and what was counted already is known by its key.
func (c *outcomeCounts) look(ctx context.Context) error {
	now, err := c.store.Now(ctx)
	if err != nil {
		return err
	}
	if c.from.IsZero() {
		c.from, c.at = now, now
		return nil
	}
	if oldest := now.Add(-countMost); c.at.Before(oldest) {
		c.at = oldest
	}
	since, until := c.at.Add(-countOverlap), now
	failovers, err := c.store.Failovers(ctx, since)
	if err != nil {
		return err
	}
	for _, f := range failovers {
		if c.isNew("notice/"+f.Key, f.At) {
			c.countFailover(f)
		}
	}
	until = readUntil(until, failovers, func(f metrics.Failover) time.Time { return f.At })
	launches, err := c.store.Launches(ctx, since)
	if err != nil {
		return err
	}
	for _, l := range launches {
		if c.isNew("launch/"+l.Key+"/"+l.Result, l.At) {
			c.launches.WithLabelValues(c.bounded(l.PoolID), l.Mode, l.Result).Inc()
		}
	}
	until = readUntil(until, launches, func(l metrics.LaunchEnd) time.Time { return l.At })
	moves, err := c.store.EndedSwitches(ctx, since)
	if err != nil {
		return err
	}
	for _, m := range moves {
		if c.isNew("move/"+m.Key, m.At) {
			c.moves.WithLabelValues(m.Kind, m.Result, m.Asked).Inc()
		}
	}
	c.forget(readUntil(until, moves, func(m metrics.SwitchEnd) time.Time { return m.At }))
	return nil
}

// readUntil is how far a read came: one that was cut off continues from its last row.
func readUntil[T any](until time.Time, rows []T, at func(T) time.Time) time.Time {
	if len(rows) < metrics.MostOutcomes {
		return until
	}
	if last := at(rows[len(rows)-1]); last.Before(until) {
		return last
	}
	return until
}

func (c *outcomeCounts) forget(until time.Time) {
	c.at = until
	for key, at := range c.seen {
		if at.Before(until.Add(-2 * countOverlap)) {
			delete(c.seen, key)
		}
	}
}

func (c *outcomeCounts) isNew(key string, at time.Time) bool {
	if _, counted := c.seen[key]; counted || at.Before(c.from) {
		return false
	}
	c.seen[key] = at
	return true
}

func (c *outcomeCounts) countFailover(f metrics.Failover) {
	if f.Recommend {
		c.rebalances.WithLabelValues(c.bounded(f.PoolID)).Inc()
		return
	}
	c.failovers.WithLabelValues(f.Outcome, f.Path, f.Door).Inc()
	if f.CameTrue {
		c.cameTrue.WithLabelValues(c.bounded(f.PoolID)).Inc()
	}
	if f.Outcome != "promoted" {
		return
	}
	c.left.Observe(f.Left)
	c.step.WithLabelValues("decided", f.Path).Observe(f.Decided)
	for step, seconds := range map[string]*float64{"launched": f.Launched, "running": f.Running, "ready": f.Ready} {
		if seconds != nil {
			c.step.WithLabelValues(step, f.Path).Observe(*seconds)
		}
	}
}

// bounded is the label of a pool.
func (c *outcomeCounts) bounded(pool string) string {
	if !c.pool[pool] && len(c.pool) >= boundedPools {
		return "other"
	}
	c.pool[pool] = true
	return pool
}
