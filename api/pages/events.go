package pages

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"spotkeeper/api/web"
	"spotkeeper/internal/postgres/views"
)

// Events serves the stream of what happens to a client's fleet.
type Events struct {
	Feed      *Feed
	Heartbeat time.Duration // 0: 15 s
	Recheck   time.Duration // of the listener's credentials; 0: 3 s
}

// Routes lists the endpoints.
func (e *Events) Routes() []web.Route {
	return []web.Route{
		{
			Method:    http.MethodGet,
			Path:      "/api/client/:client_id/events",
			ID:        "streamEvents",
			Summary:   "Follow operations, notices and changes of roles as server-sent events",
			Auth:      web.Client,
			Status:    200,
			MediaType: web.EventStream,
			Endpoint:  web.NewStream[eventsRequest, eventAnswer](e.follow),
		},
	}
}

type eventsRequest struct {
	ClientID string `json:"-" uri:"client_id"`
	LastID   string `json:"-" header:"Last-Event-ID" doc:"the id of the last event seen: what happened since is told first"`
	After    string `json:"-" form:"after" doc:"the same, for callers that cannot set the header"`
}

// eventAnswer is the data of one event.
type eventAnswer struct {
	Type string          `json:"type"` // operation, notice or roles
	At   web.Time        `json:"at"`
	Data json.RawMessage `json:"data"`
}

// recheckStreams is how soon a stream ends after its token was replaced, its client
// deactivated or its operator logged out.
const recheckStreams = 3 * time.Second

// follow sends what happened since the last event that the listener saw, and then what
// happens. An event shows the present state of its object. Around a reconnection an event
// may come twice; none is missing.
func (e *Events) follow(c *gin.Context, in *eventsRequest) error {
	ctx := c.Request.Context()
	since, err := parseLastEventID(in)
	if err != nil {
		return err
	}
	l, err := e.Feed.listen(in.ClientID)
	if err != nil {
		return err
	}
	defer e.Feed.closeListener(l)
	past := replay{e.Feed.Changes, in.ClientID, views.Place{At: since.Add(-streamOverlap)}, !since.IsZero()}
	missed, err := past.next(ctx) // before anything is written, so that a failure has its status
	if err != nil {
		return err
	}
	w := newEventWriter(c)
	if err := w.open(); err != nil {
		return nil //nolint:nilerr // the listener went away, which is its right
	}
	for len(missed) > 0 {
		for _, change := range missed {
			if w.event(change) != nil {
				return nil
			}
		}
		if missed, err = past.next(ctx); err != nil || !web.StillAllowed(c) {
			return nil //nolint:nilerr // the listener comes back with the id of the last event that it got
		}
	}
	heartbeat := e.Heartbeat
	if heartbeat <= 0 {
		heartbeat = 15 * time.Second
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	check := time.NewTicker(cmp.Or(e.Recheck, recheckStreams))
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case change, more := <-l.changes:
			if !more || w.event(change) != nil {
				return nil
			}
		case <-check.C:
			if !web.StillAllowed(c) {
				return nil
			}
		case <-beat.C:
			if w.write(": beat\n\n") != nil {
				return nil
			}
		}
	}
}

// replay reads the changes that a listener missed, a page at a time.
type replay struct {
	changes  ChangeStore
	clientID string
	from     views.Place
	more     bool
}

// next is the next page; empty when there is no other.
func (r *replay) next(ctx context.Context) ([]views.Change, error) {
	if !r.more {
		return nil, nil
	}
	page, err := r.changes.Since(ctx, r.clientID, r.from, streamPage)
	if err != nil {
		return nil, err
	}
	if r.more = len(page) == streamPage; r.more {
		r.from = views.PlaceOf(page[len(page)-1])
	}
	return page, nil
}

// parseLastEventID reads where the listener was: the microseconds of the last event's id.
func parseLastEventID(in *eventsRequest) (time.Time, error) {
	id := in.LastID
	if id == "" {
		id = in.After
	}
	if id == "" {
		return time.Time{}, nil
	}
	micros, err := strconv.ParseInt(id, 10, 64)
	if err != nil || micros < 0 || micros > 1e17 {
		return time.Time{}, web.InvalidRequest.New("Last-Event-ID is not the id of an event of this stream")
	}
	return time.UnixMicro(micros), nil
}

// eventWriter writes server-sent events, each flushed and with its own deadline,
// so that a listener that does not read cannot hold the handler.
type eventWriter struct {
	w    gin.ResponseWriter
	ctl  *http.ResponseController
	sent map[changeKey]struct{} // of the replay, which overlaps what is live
}

func newEventWriter(c *gin.Context) *eventWriter {
	return &eventWriter{w: c.Writer, ctl: http.NewResponseController(c.Writer), sent: map[changeKey]struct{}{}}
}

func (w *eventWriter) open() error {
	h := w.w.Header()
	h.Set("Content-Type", web.EventStream)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	w.w.WriteHeader(http.StatusOK)
	return w.write("retry: 2000\n\n")
}

func (w *eventWriter) event(c views.Change) error {
	if _, sent := w.sent[keyOfChange(c)]; sent {
		return nil
	}
	if len(w.sent) < 2*streamPage {
		w.sent[keyOfChange(c)] = struct{}{}
	}
	var data bytes.Buffer
	if err := json.Compact(&data, c.Data); err != nil {
		return err
	}
	body, err := json.Marshal(eventAnswer{Type: c.Kind, At: web.TimeOf(c.At), Data: data.Bytes()})
	if err != nil {
		return err
	}
	return w.write(fmt.Sprintf("id: %d\nevent: %s\ndata: %s\n\n", c.At.UnixMicro(), c.Kind, body))
}

// writeWithin is how long one event may take to leave.
const writeWithin = 10 * time.Second

func (w *eventWriter) write(s string) error {
	_ = w.ctl.SetWriteDeadline(time.Now().Add(writeWithin)) // a recorder in a test has none
	if _, err := strings.NewReader(s).WriteTo(w.w); err != nil {
		return err
	}
	return w.ctl.Flush()
}
