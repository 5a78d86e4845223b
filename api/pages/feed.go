package pages

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/postgres/views"
)

// TooManyStreams means that a client listens already as often as it may.
var TooManyStreams = fault.Define("events.too_many_streams", fault.Limited)

// Bounds of the feed. A listener that does not keep up is disconnected: it comes
// back with the id of the last event it saw, and reads the rest from the database.
const (
	streamsPerClient = 16
	streamsInTotal   = 512
	streamBuffer     = 256
	streamOverlap    = 3 * time.Second // changes that were committed late are looked for so long
	streamPage       = 1000            // changes that are read at once
)

// ChangeStore is the part of views.Changes that the feed reads.
type ChangeStore interface {
	Now(ctx context.Context) (time.Time, error)
	Since(ctx context.Context, clientID string, after views.Place, limit int) ([]views.Change, error)
}

// Feed reads changes once per process and sends them to every listener. It queries the
// database only while there are listeners.
type Feed struct {
	Changes  ChangeStore
	Interval time.Duration // between two looks; 0: one second
	Log      *slog.Logger

	mu        sync.Mutex
	listeners map[*listener]struct{}
	stopped   bool
	first     chan struct{} // sent to when the first listener arrives
}

// listener is one open stream.
type listener struct {
	clientID string            // empty: of all clients, for operators
	changes  chan views.Change // closed when the listener is let go
}

// NewFeed makes a feed; Run makes it live.
func NewFeed(changes ChangeStore, log *slog.Logger) *Feed {
	return &Feed{Changes: changes, Log: log, listeners: map[*listener]struct{}{}, first: make(chan struct{}, 1)}
}

// Run looks for changes until ctx ends, and then disconnects all listeners.
func (f *Feed) Run(ctx context.Context) error {
	interval := f.Interval
	if interval <= 0 {
		interval = time.Second
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	defer f.dropAll()
	var at watermark
	for {
		if f.hasNoListeners() {
			at = watermark{}
			select {
			case <-ctx.Done():
				return nil
			case <-f.first:
			}
			continue
		}
		if err := f.readChanges(ctx, &at); err != nil && ctx.Err() == nil {
			f.Log.WarnContext(ctx, "the feed of events cannot read changes", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// watermark is how far the feed has read: the newest stamp, and what was sent of
// the overlap before it.
type watermark struct {
	at   time.Time
	sent map[changeKey]struct{}
}

type changeKey struct {
	kind, key string
	at        int64
}

func keyOfChange(c views.Change) changeKey { return changeKey{c.Kind, c.Key, c.At.UnixMicro()} }

func (f *Feed) readChanges(ctx context.Context, w *watermark) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if w.at.IsZero() {
		now, err := f.Changes.Now(ctx)
		if err != nil {
			return err
		}
		// A listener that began between two looks replays from its own start.
		w.at, w.sent = now.Add(-streamOverlap), map[changeKey]struct{}{}
	}
	for from, more := (views.Place{At: w.at.Add(-streamOverlap)}), true; more; {
		changes, err := f.Changes.Since(ctx, "", from, streamPage)
		if err != nil {
			return err
		}
		for _, c := range changes {
			if _, sent := w.sent[keyOfChange(c)]; !sent {
				f.publish(c)
				w.sent[keyOfChange(c)] = struct{}{}
			}
			if c.At.After(w.at) {
				w.at = c.At
			}
		}
		if more = len(changes) == streamPage; more {
			from = views.PlaceOf(changes[len(changes)-1])
		}
	}
	for k := range w.sent {
		if k.at < w.at.Add(-2*streamOverlap).UnixMicro() {
			delete(w.sent, k)
		}
	}
	return nil
}

// publish passes a change to the listeners that may see it. A listener whose buffer is full
// is disconnected.
func (f *Feed) publish(c views.Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for l := range f.listeners {
		if l.clientID != "" && l.clientID != c.ClientID {
			continue
		}
		select {
		case l.changes <- c:
		default:
			f.dropListener(l)
		}
	}
}

// listen subscribes to a client's changes. Fails with events.too_many_streams
// and, when the process is ending, postgres.unavailable.
func (f *Feed) listen(clientID string) (*listener, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped {
		return nil, pg.Unavailable.New("The server is stopping: connect again.")
	}
	same := 0
	for l := range f.listeners {
		if l.clientID == clientID {
			same++
		}
	}
	if same >= streamsPerClient || len(f.listeners) >= streamsInTotal {
		return nil, TooManyStreams.New("Too many event streams are open.")
	}
	l := &listener{clientID: clientID, changes: make(chan views.Change, streamBuffer)}
	f.listeners[l] = struct{}{}
	select {
	case f.first <- struct{}{}:
	default:
	}
	return l, nil
}

// closeListener ends a stream from its own side.
func (f *Feed) closeListener(l *listener) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dropListener(l)
}

func (f *Feed) dropListener(l *listener) {
	if _, known := f.listeners[l]; known {
		delete(f.listeners, l)
		close(l.changes)
	}
}

func (f *Feed) hasNoListeners() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.listeners) == 0
}

func (f *Feed) dropAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
	for l := range f.listeners {
		f.dropListener(l)
	}
}
