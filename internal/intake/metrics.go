package intake

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"spotkeeper/internal/events"
)

// Metrics of all queues of a process.
type Metrics struct {
	events *prometheus.CounterVec
	ages   *prometheus.HistogramVec
}

// NewMetrics makes and registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "spotkeeper_events_total", Help: "Events of AWS by what they are about and what became of them.",
		}, []string{"kind", "outcome"}),
		ages: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "spotkeeper_event_age_seconds", Help: "From the time of an event to its row.",
			Buckets: []float64{.1, .25, .5, 1, 2, 5, 10, 15, 30, 60, 120, 300},
		}, []string{"kind"}),
	}
	r.MustRegister(m.events, m.ages)
	return m
}

func (m *Metrics) count(kind events.Kind, outcome string) {
	m.events.WithLabelValues(string(kind), outcome).Inc()
}

func (m *Metrics) age(kind events.Kind, d time.Duration) {
	m.ages.WithLabelValues(string(kind)).Observe(max(d, 0).Seconds())
}

const (
	tooLong   = 30 * time.Second // in the queue
	recentFor = time.Minute
)

// recordReceive notes how the last receive went, for Check.
func (i *Intake) recordReceive(ctx context.Context, messages []Message, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err != nil && i.received == nil {
		i.Log.WarnContext(ctx, "the event queue cannot be read", "error", err)
	}
	if err == nil && i.received != nil {
		i.Log.InfoContext(ctx, "the event queue can be read again")
	}
	i.received = err
	now := i.Now()
	if now.Sub(i.waitedAt) > recentFor {
		i.state.Waited = 0
	}
	if i.state.Error = ""; err != nil {
		i.state.Error = err.Error()
	} else {
		i.state.Received = now
	}
	for _, m := range messages {
		if m.Received != 1 || m.Sent.IsZero() {
			continue
		}
		waited := max(now.Sub(m.Sent), 0)
		if waited > tooLong {
			i.behind = now
		}
		if waited >= i.state.Waited {
			i.state.Waited, i.waitedAt = waited, now
		}
	}
}

// QueueState is how a queue is as this process sees it.
type QueueState struct {
	Received time.Time     // when SQS answered last; zero: not yet
	Waited   time.Duration // of the last minute's messages, the longest time until the first receive
	Error    string        // of the last receive; empty when SQS answered
}

const (
	noteEvery  = 5 * time.Second
	noteWithin = 2 * time.Second
)

// note keeps the state once in a while. It comes after the messages, which do not wait for it.
func (i *Intake) note(ctx context.Context) {
	i.mu.Lock()
	now := i.Now()
	if i.Note == nil || now.Sub(i.notedAt) < noteEvery {
		i.mu.Unlock()
		return
	}
	i.notedAt = now
	state := i.state
	i.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, noteWithin)
	defer cancel()
	if err := i.Note(ctx, state); err != nil {
		i.Log.DebugContext(ctx, "the state of the event queue was not noted", "error", err)
	}
}

// Check says what is wrong with the intake, for /ready: the last receive failed, or
// messages waited for more than thirty seconds.
func (i *Intake) Check(context.Context) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.received != nil {
		return fmt.Errorf("events: %w", i.received)
	}
	if i.Now().Sub(i.behind) < recentFor {
		return errors.New("events: messages wait for more than 30 seconds")
	}
	return nil
}
