package activities_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/notification"
)

// emptySinks have nothing to deliver, and stop the worker at the first look.
type emptySinks struct {
	activities.SinkStore
	looks int
	stop  chan struct{}
}

func (s *emptySinks) Enqueue(context.Context) (int64, error) {
	if s.looks++; s.looks == 1 {
		close(s.stop)
	}
	return 0, nil
}

func (*emptySinks) Claim(context.Context, activities.DueDeliveries) ([]activities.Delivery, error) {
	return nil, nil
}

// TestDeliveryDoesNotHoldUpAStoppingWorker holds that a worker which drains is not
// kept for the rest of the minute that the job looks for news.
func TestDeliveryDoesNotHoldUpAStoppingWorker(t *testing.T) {
	t.Parallel()

	store := &emptySinks{stop: make(chan struct{})}
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.SetWorkerStopChannel(store.stop)
	sinks := &activities.Sinks{Store: store, Watch: time.Hour, Every: time.Minute}
	env.RegisterActivity(sinks)
	got, err := env.ExecuteActivity(sinks.DeliverNotifications)
	require.NoError(t, err)
	var out activities.DeliverResult
	require.NoError(t, got.Get(&out))
	require.Equal(t, activities.DeliverResult{}, out)
	require.Equal(t, 1, store.looks)
}

// queued are deliveries in memory: of the sink "slow" two at once, of the sink "news"
// the next one when the one before has arrived.
type queued struct {
	activities.SinkStore
	mu        sync.Mutex
	slow      []activities.Delivery
	news      int // arrived
	onWay     bool
	released  []activities.Delivery
	delivered []string
}

func (*queued) Enqueue(context.Context) (int64, error) { return 0, nil }

func (q *queued) Claim(_ context.Context, in activities.DueDeliveries) ([]activities.Delivery, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []activities.Delivery
	if !slices.Contains(in.Busy, "slow") {
		out, q.slow = q.slow, nil
	}
	if !q.onWay {
		q.onWay = true
		out = append(out, activities.Delivery{
			ID:         "news",
			SinkTarget: activities.SinkTarget{SinkID: "news", URL: "news"},
		})
	}
	return out, nil
}

func (q *queued) Delivered(_ context.Context, d activities.Delivery) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.delivered = append(q.delivered, d.ID)
	if d.SinkID == "news" {
		q.news, q.onWay = q.news+1, false
	}
	return nil
}

func (q *queued) Release(_ context.Context, unsent []activities.Delivery) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.released = append(q.released, unsent...)
	return nil
}

func (q *queued) Failed(_ context.Context, d activities.Delivery, _ string, _ bool) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.delivered = append(q.delivered, d.ID+" failed")
	return nil
}

// Send answers for "news" at once, and for "slow" when three news have arrived.
func (q *queued) Send(ctx context.Context, url string, _ []string, _ string, _ []byte) error {
	if url == "news" {
		return nil
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		q.mu.Lock()
		arrived := q.news
		q.mu.Unlock()
		if arrived >= 3 {
			return notification.NotDelivered.New("The receiver did not answer in time.")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// TestASlowSinkDelaysNoOther: while one receiver does not answer, another gets what
// comes in meanwhile. What the slow one was to get besides is given back, and the
// run goes on beyond its time for the others, because the schedule skips the next.
func TestASlowSinkDelaysNoOther(t *testing.T) {
	t.Parallel()

	slow := func(id string) activities.Delivery {
		return activities.Delivery{ID: id, SinkTarget: activities.SinkTarget{SinkID: "slow", URL: "slow"}}
	}
	q := &queued{slow: []activities.Delivery{slow("first"), slow("second")}}
	sinks := &activities.Sinks{
		Store:  q,
		Sender: q,
		Log:    quiet,
		Watch:  time.Nanosecond,
		Every:  time.Millisecond,
		Period: time.Minute,
	}
	stop := make(chan struct{})
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.SetWorkerStopChannel(stop)
	env.RegisterActivity(sinks)
	go func() {
		defer close(stop)
		for tick := time.NewTicker(time.Millisecond); ; <-tick.C {
			q.mu.Lock()
			over := len(q.released) > 0
			q.mu.Unlock()
			if over || t.Context().Err() != nil {
				tick.Stop()
				return
			}
		}
	}()
	_, err := env.ExecuteActivity(sinks.DeliverNotifications)
	require.NoError(t, err)
	require.Equal(t, []activities.Delivery{slow("second")}, q.released)
	require.GreaterOrEqual(t, slices.Index(q.delivered, "first failed"), 3, "%v", q.delivered)
}

// TestASinkWithoutASecretFailsAlone: the row of one cannot be read.
func TestASinkWithoutASecretFailsAlone(t *testing.T) {
	t.Parallel()

	q := &queued{slow: []activities.Delivery{{
		ID:         "sealed",
		SinkTarget: activities.SinkTarget{SinkID: "broken", URL: "slow"},
		Fault:      notification.NotDelivered.New("no secret"),
	}}}
	got, err := (&activities.Sinks{Store: q, Sender: q, Log: quiet}).DeliverNotifications(t.Context())
	require.NoError(t, err)
	require.Equal(t, &activities.DeliverResult{Delivered: 1, Failed: 1}, got)
	require.ElementsMatch(t, []string{"news", "sealed failed"}, q.delivered)
}
