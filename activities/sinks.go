package activities

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"spotkeeper/internal/fault"
	"spotkeeper/internal/notification"
	"spotkeeper/internal/webhook"
)

// SinkTarget is where a sink's deliveries go.
type SinkTarget struct {
	SinkID string
	Kind   notification.Kind
	URL    string
	Secret string
}

// Delivery is one notification on its way to one sink.
type Delivery struct {
	SinkTarget
	ID             string // the receiver tells a repetition by it
	Attempts       int    // this one included
	NotificationID string
	ClientID       string
	Severity       string
	Message        string
	At             time.Time
}

// SinkStore is the part of postgres.Sinks that the delivery uses.
type SinkStore interface {
	Enqueue(ctx context.Context) (int64, error)
	Claim(ctx context.Context, perSink int, lease time.Duration) ([]Delivery, error)
	Delivered(ctx context.Context, d Delivery) error
	Failed(ctx context.Context, d Delivery, why string, down bool) error
}

// SinkSender posts a signed body; webhook.Sender is one.
type SinkSender interface {
	Send(ctx context.Context, url, secret, id string, body []byte) error
}

// Sinks take notifications out of the building.
type Sinks struct {
	Store  SinkStore
	Sender SinkSender
	Log    *slog.Logger
	// Watch is how long a run goes on looking, and Every how often. Zero: once.
	Watch, Every time.Duration
}

// Bounds of one pass.
const (
	deliveriesPerSink = 20
	deliveryLease     = 5 * time.Minute // longer than a pass takes when every answer is late
	sinksAtOnce       = 16
)

// DeliverResult counts a run.
type DeliverResult struct {
	Enqueued  int64 `json:"enqueued"`
	Delivered int64 `json:"delivered"`
	Failed    int64 `json:"failed"`
}

// Counts is what a run did, for its row.
func (r *DeliverResult) Counts() map[string]int64 {
	return map[string]int64{"enqueued": r.Enqueued, "delivered": r.Delivered, "failed": r.Failed}
}

// DeliverNotifications gives each notification to the sinks that want it, and
// goes on looking for most of a minute, so that news is out in seconds. A
// delivery is claimed before it is sent and closed afterwards: a run that dies in
// between sends it again under the same id, which is what receivers know
// repetitions by. A sink that fails waits and holds up no other.
func (s *Sinks) DeliverNotifications(ctx context.Context) (*DeliverResult, error) {
	out, end := &DeliverResult{}, time.Now().Add(s.Watch)
	for {
		if err := s.pass(ctx, out); err != nil {
			return nil, err
		}
		if s.Watch <= 0 || !time.Now().Add(s.Every).Before(end) {
			return out, nil
		}
		beat(ctx)
		wait := time.NewTimer(s.Every)
		select {
		case <-ctx.Done():
			wait.Stop()
			return out, ctx.Err()
		case <-stopping(ctx): // between two passes nothing is half done: the next run goes on
			wait.Stop()
			return out, nil
		case <-wait.C:
		}
	}
}

func (s *Sinks) pass(ctx context.Context, out *DeliverResult) error {
	made, err := s.Store.Enqueue(ctx)
	if err != nil {
		return err
	}
	out.Enqueued += made
	claimed, err := s.Store.Claim(ctx, deliveriesPerSink, deliveryLease)
	if err != nil || len(claimed) == 0 {
		return err
	}
	bySink := map[string][]Delivery{}
	for _, d := range claimed {
		bySink[d.SinkID] = append(bySink[d.SinkID], d)
	}
	results := make(chan [2]int64, len(bySink))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(sinksAtOnce)
	for _, of := range bySink {
		g.Go(func() error {
			delivered, failed, err := s.deliver(ctx, of)
			results <- [2]int64{delivered, failed}
			return err
		})
	}
	err = g.Wait()
	close(results)
	for r := range results {
		out.Delivered += r[0]
		out.Failed += r[1]
	}
	return err
}

// deliver sends what one sink is to get, in order. After the first sign that the
// sink itself is down the rest waits with it.
func (s *Sinks) deliver(ctx context.Context, of []Delivery) (delivered, failed int64, err error) {
	for _, d := range of {
		sent := s.send(ctx, d)
		if ctx.Err() != nil {
			return delivered, failed, ctx.Err()
		}
		if sent == nil {
			if err := s.Store.Delivered(ctx, d); err != nil {
				return delivered, failed, err
			}
			delivered++
			beat(ctx)
			continue
		}
		failed++
		down := isDown(sent)
		s.Log.WarnContext(ctx, "a notification could not be delivered", "sink_id", d.SinkID, "client_id", d.ClientID, "attempt", d.Attempts, "down", down, "error", sent)
		if err := s.Store.Failed(ctx, d, failureOf(sent), down); err != nil {
			return delivered, failed, err
		}
		if down {
			return delivered, failed, nil
		}
	}
	return delivered, failed, nil
}

func (s *Sinks) send(ctx context.Context, d Delivery) error {
	if d.Kind == notification.Log {
		s.Log.LogAttrs(ctx, slog.LevelInfo, "notification", slog.String("delivery_id", d.ID), slog.String("client_id", d.ClientID),
			slog.String("severity", d.Severity), slog.String("message", d.Message), slog.Time("at", d.At))
		return nil
	}
	body, err := DeliveryBody(d)
	if err != nil {
		return err
	}
	return s.Sender.Send(ctx, d.URL, d.Secret, d.ID, body)
}

// DeliveryBody is what a webhook gets. Fields are only ever added.
func DeliveryBody(d Delivery) ([]byte, error) {
	return json.Marshal(map[string]any{
		"type": "notification", "timestamp": d.At.UTC().Format(time.RFC3339),
		"data": map[string]any{"id": d.NotificationID, "client_id": d.ClientID, "severity": d.Severity, "message": d.Message},
	})
}

// isDown says whether a failure is the sink's and not this one delivery's: a
// receiver that refuses one body may well take the next.
func isDown(err error) bool {
	refused, answered := errors.AsType[*webhook.Refused](err)
	return !answered || refused.Status >= 500 || refused.Status == 429 || refused.Status == 408
}

func failureOf(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f.Message
	}
	return err.Error()
}
