package activities

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"spotkeeper/internal/domain/approval"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/notification"
	"spotkeeper/internal/webhook"
)

// SinkTarget is where a sink's deliveries go.
type SinkTarget struct {
	SinkID string
	Kind   notification.Kind
	URL    string
	Secret string
	// SecretBefore signs as well, until the receiver has the new one; may be empty.
	SecretBefore string
}

// Secrets are what a delivery is signed with, the present one first.
func (t SinkTarget) Secrets() []string {
	if t.SecretBefore == "" {
		return []string{t.Secret}
	}
	return []string{t.Secret, t.SecretBefore}
}

// Delivery is one notification on its way to one sink.
type Delivery struct {
	SinkTarget
	ID             string // the receiver recognises a repetition by it
	Attempts       int    // this one included
	NotificationID string
	ClientID       string
	Severity       string
	Message        string
	At             time.Time
	ApprovalID     string // the question that the notification asks; empty: none
	ApprovalURL    string // where it is answered without a login; empty: there is no link

	Fault error // why it cannot be sent at all, such as a secret that cannot be read
}

// DueDeliveries says what to claim.
type DueDeliveries struct {
	Sinks   int           // the most sinks
	PerSink int           // the most deliveries to each
	Lease   time.Duration // for which they are not due again
	Busy    []string      // sinks that are being delivered to
}

// SinkStore is the part of notifications.Sinks that the delivery uses.
type SinkStore interface {
	Enqueue(ctx context.Context) (int64, error)
	// Claim takes what is due, of those sinks first that were tried longest ago.
	Claim(ctx context.Context, due DueDeliveries) ([]Delivery, error)
	Delivered(ctx context.Context, d Delivery) error
	Failed(ctx context.Context, d Delivery, why string, down bool) error
	// Release gives back what was claimed and not sent, as if it had not been claimed.
	Release(ctx context.Context, unsent []Delivery) error
}

// SinkSender posts a body that is signed with each secret; webhook.Sender is one.
type SinkSender interface {
	Send(ctx context.Context, url string, secrets []string, id string, body []byte) error
}

// Sinks delivers notifications to the webhooks and logs that clients configured.
type Sinks struct {
	Store  SinkStore
	Sender SinkSender
	Links  approval.Links
	Log    *slog.Logger
	// Watch is how long a run keeps looking, and Every how often. Zero: once.
	Watch, Every time.Duration
	// Period is that of the schedule. A run whose deliveries are not over in time makes
	// the schedule skip one, and keeps looking in its place.
	Period time.Duration
}

// Bounds of a run.
const (
	deliveriesPerSink = 20
	deliveryLease     = 5 * time.Minute // longer than one sink takes when every answer is late
	sinksAtOnce       = 16
	sinkWithin        = 10 * time.Second // a sink is sent nothing more after it, until its next turn
	mostPeriods       = 3                // that a run goes on in place of skipped ones
)

// DeliverResult counts a run.
type DeliverResult struct {
	Enqueued  int64 `json:"enqueued"`
	Delivered int64 `json:"delivered"`
	Failed    int64 `json:"failed"`
}

// Counts returns the figures that are stored with the row of the run.
func (r *DeliverResult) Counts() map[string]int64 {
	return map[string]int64{"enqueued": r.Enqueued, "delivered": r.Delivered, "failed": r.Failed}
}

// DeliverNotifications gives each notification to the sinks that want it, and
// keeps looking for most of a minute, so that news is out in seconds. A
// delivery is claimed before it is sent and closed afterwards: a run that dies in
// between sends it again under the same id, which is what receivers know
// repetitions by. A sink that fails waits; one that is slow is given up until its
// next turn. Neither holds up another.
func (s *Sinks) DeliverNotifications(ctx context.Context) (*DeliverResult, error) {
	r := &deliveryRun{Sinks: s, busy: map[string]bool{}, freed: make(chan struct{}, sinksAtOnce)}
	rest := heartbeatEvery(fairBeat, func() { recordHeartbeat(ctx) })
	defer rest()
	err := r.claimUntilDeadline(ctx)
	r.all.Wait()
	if err == nil {
		err = r.err
	}
	if err != nil {
		return nil, err
	}
	return &r.out, nil
}

func (s *Sinks) deliverOne(ctx context.Context, d Delivery) error {
	if d.Fault != nil {
		return d.Fault
	}
	if d.Kind == notification.Log {
		s.Log.LogAttrs(ctx, slog.LevelInfo, "notification", slog.String("delivery_id", d.ID),
			slog.String("client_id", d.ClientID),
			slog.String("severity", d.Severity), slog.String("message", d.Message), slog.Time("at", d.At))
		return nil
	}
	if d.ApprovalID != "" {
		d.ApprovalURL = s.Links.URL(d.ApprovalID, d.SinkID)
	}
	body, err := DeliveryBody(d)
	if err != nil {
		return err
	}
	return s.Sender.Send(ctx, d.URL, d.Secrets(), d.ID, body)
}

// DeliveryBody is the JSON body of a webhook's request. Fields are only ever added.
func DeliveryBody(d Delivery) ([]byte, error) {
	data := map[string]any{
		"id":        d.NotificationID,
		"client_id": d.ClientID,
		"severity":  d.Severity,
		"message":   d.Message,
	}
	if d.ApprovalID != "" {
		question := map[string]any{"id": d.ApprovalID}
		if d.ApprovalURL != "" {
			question["url"] = d.ApprovalURL
		}
		data["approval"] = question
	}
	return json.Marshal(map[string]any{
		"type": "notification", "timestamp": d.At.UTC().Format(time.RFC3339), "data": data,
	})
}

// isReceiverDown says whether a failure is the sink's and not this one delivery's: a
// receiver that refuses one body may well take the next.
func isReceiverDown(err error) bool {
	refused, answered := errors.AsType[*webhook.Refused](err)
	return !answered || refused.Status >= 500 || refused.Status == 429 || refused.Status == 408
}

func failureOf(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f.Message
	}
	return err.Error()
}
