package control

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"spotkeeper/activities"
	"spotkeeper/api/web"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/notification"
	"spotkeeper/internal/postgres/notifications"
	"spotkeeper/internal/webhook"
)

// SinkStore is the part of notifications.Sinks that sink routes use.
type SinkStore interface {
	Sinks(ctx context.Context, clientID string) ([]notifications.SinkView, error)
	Create(ctx context.Context, clientID string, n notification.NewNotification, by string) (*notifications.SinkView, string, error)
	Delete(ctx context.Context, clientID, id, by string) error
	RotateSecret(ctx context.Context, clientID, id string, overlap time.Duration, by string) (string, time.Time, error)
	Target(ctx context.Context, clientID, id string) (*activities.SinkTarget, error)
}

// Sinks serve the ways on which a client's notifications leave the building.
type Sinks struct {
	Store   SinkStore
	Sender  activities.SinkSender
	Allowed []netip.Prefix // where webhooks may go although it is not the internet
}

// Routes lists the endpoints.
func (s *Sinks) Routes() []web.Route {
	const all, one = "/api/client/:client_id/sinks", "/api/client/:client_id/sinks/:sink_id"
	return []web.Route{
		{
			Method:   http.MethodGet,
			Path:     all,
			ID:       "listSinks",
			Summary:  "List where a client's notifications go besides the page",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(s.list),
		},
		{
			Method:   http.MethodPost,
			Path:     all,
			ID:       "createSink",
			Summary:  "Send a client's notifications from a severity on to a webhook or the log",
			Auth:     web.Client,
			Status:   201,
			Endpoint: web.NewEndpoint(s.create),
		},
		{
			Method:   http.MethodDelete,
			Path:     one,
			ID:       "deleteSink",
			Summary:  "Send nothing there any more",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(s.remove),
		},
		{
			Method:   http.MethodPost,
			Path:     one + "/rotate",
			ID:       "rotateSink",
			Summary:  "Give a webhook a new secret: deliveries are signed with the one before as well for a while",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(s.rotate),
		},
		{
			Method:   http.MethodPost,
			Path:     one + "/test",
			ID:       "testSink",
			Summary:  "Deliver a test at once and say how it went",
			Auth:     web.Client,
			Counted:  web.SinkTests,
			Status:   200,
			Endpoint: web.NewEndpoint(s.test),
			Timeout:  15 * time.Second,
		},
	}
}

type sinkAnswer struct {
	ID          string    `json:"id"`
	Kind        string    `json:"kind"`
	URL         string    `json:"url"`
	MinSeverity string    `json:"min_severity"`
	State       string    `json:"state"` // ok or failing
	Failures    int       `json:"failures"`
	LastError   *string   `json:"last_error"`
	RetryAfter  *web.Time `json:"retry_after"`
	Delivered   *web.Time `json:"last_delivered_at"`
	Pending     int       `json:"pending"`
	CreatedAt   web.Time  `json:"created_at"`
}

func newSinkAnswer(x notifications.SinkView) sinkAnswer {
	out := sinkAnswer{
		ID:          x.ID,
		Kind:        string(x.Kind),
		URL:         x.URL,
		MinSeverity: string(x.MinSeverity),
		State:       "ok",
		Failures:    x.Failures,
		LastError:   x.LastError,
		RetryAfter:  web.NewTime(x.RetryAfter),
		Delivered:   web.NewTime(x.LastDeliveredAt),
		Pending:     x.Pending,
		CreatedAt:   web.TimeOf(x.CreatedAt),
	}
	if x.Failures > 0 {
		out.State = "failing"
	}
	return out
}

type sinkList struct {
	Sinks []sinkAnswer `json:"sinks" doc:"oldest first"`
}

func (s *Sinks) list(ctx context.Context, in *web.ClientPath) (*sinkList, error) {
	found, err := s.Store.Sinks(ctx, in.ClientID)
	list, err := web.MapRows(found, err, newSinkAnswer)
	if err != nil {
		return nil, err
	}
	return &sinkList{Sinks: *list}, nil
}

type createSinkRequest struct {
	web.ClientPath
	Kind        string  `json:"kind" binding:"required,oneof=webhook log"`
	URL         string  `json:"url" binding:"max=2048" doc:"of a webhook: http or https, on the public internet"`
	MinSeverity *string `json:"min_severity" binding:"omitempty,oneof=info warning error critical" doc:"warning by default"`
}

type createSinkAnswer struct {
	Success bool       `json:"success"`
	Sink    sinkAnswer `json:"sink"`
	Secret  string     `json:"secret"` // shown here only
}

func (s *Sinks) create(ctx context.Context, in *createSinkRequest) (*createSinkAnswer, error) {
	n := notification.NewNotification{
		Kind:        notification.Kind(in.Kind),
		URL:         in.URL,
		MinSeverity: notification.Severity(web.ValueOr(in.MinSeverity, "")),
	}
	if err := n.Normalize(s.Allowed); err != nil {
		return nil, err
	}
	made, secret, err := s.Store.Create(ctx, in.ClientID, n, web.ActorName(ctx))
	if err != nil {
		return nil, err
	}
	return &createSinkAnswer{Success: true, Sink: newSinkAnswer(*made), Secret: secret}, nil
}

type sinkPath struct {
	web.ClientPath
	web.OptionalBody
	SinkID string `json:"-" uri:"sink_id"`
}

func (s *Sinks) remove(ctx context.Context, in *sinkPath) (*web.Success, error) {
	return web.Done, s.Store.Delete(ctx, in.ClientID, in.SinkID, web.ActorName(ctx))
}

type rotateSinkRequest struct {
	sinkPath
	Overlap *int `json:"overlap_seconds" binding:"omitempty,min=0,max=2592000" doc:"how long the secret before signs as well; a day by default, 0: not at all"`
}

type rotateSinkAnswer struct {
	Success bool     `json:"success"`
	Secret  string   `json:"secret" doc:"shown this once"`
	Until   web.Time `json:"secret_before_until" doc:"until when each delivery has two signatures"`
}

const defaultOverlap = 24 * 60 * 60 // seconds

func (s *Sinks) rotate(ctx context.Context, in *rotateSinkRequest) (*rotateSinkAnswer, error) {
	overlap := time.Duration(web.ValueOr(in.Overlap, defaultOverlap)) * time.Second
	secret, until, err := s.Store.RotateSecret(ctx, in.ClientID, in.SinkID, overlap, web.ActorName(ctx))
	if err != nil {
		return nil, err
	}
	return &rotateSinkAnswer{Success: true, Secret: secret, Until: web.TimeOf(until)}, nil
}

type testSinkAnswer struct {
	Success bool   `json:"success"`
	Message string `json:"message"`
	ID      string `json:"delivery_id"`
}

// test answers 200 with the receiver's answer, also when the receiver refuses.
func (s *Sinks) test(ctx context.Context, in *sinkPath) (*testSinkAnswer, error) {
	target, err := s.Store.Target(ctx, in.ClientID, in.SinkID)
	if err != nil {
		return nil, err
	}
	d := activities.Delivery{
		SinkTarget:     *target,
		ID:             "test-" + uuid.NewString(),
		NotificationID: "test",
		ClientID:       in.ClientID,
		Severity:       "info",
		Message:        "This is a test of a notification sink.",
		At:             time.Now(),
	}
	out := &testSinkAnswer{Success: true, Message: "The receiver took the test.", ID: d.ID}
	if target.Kind == notification.Log {
		web.LoggerFrom(ctx).InfoContext(ctx, "notification", "delivery_id", d.ID, "client_id", d.ClientID,
			"severity", d.Severity, "message", d.Message)
		return out, nil
	}
	body, err := activities.DeliveryBody(d)
	if err != nil {
		return nil, err
	}
	err = s.Sender.Send(ctx, target.URL, target.Secrets(), d.ID, body)
	if refused, ok := errors.AsType[*webhook.Refused](err); ok {
		out.Success, out.Message = false, refused.Error()
	} else if f, ok := errors.AsType[*fault.Error](err); ok {
		out.Success, out.Message = false, f.Message
	} else if err != nil {
		return nil, err
	}
	return out, nil
}
