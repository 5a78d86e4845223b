// Package box is the agent on an instance. It watches the metadata service, reports what
// AWS announces, runs the operator's hooks, and sends heartbeats to the control plane.
//
// Reports go before hooks. Each watch and each report has its own goroutine and its own
// back-off, so that one that hangs delays no other. Unsent reports and hooks that are not
// finished are on disk (package spool) first, so the agent may be killed at any moment.
// Reports are repeated until they are acknowledged, and the control plane recognises a
// repetition. A hook that has ended is not run again.
package box

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"spotkeeper/internal/box/controlplane"
	"spotkeeper/internal/box/imds"
	"spotkeeper/internal/box/settings"
	"spotkeeper/internal/box/spool"
)

// Agent is one agent process. Make it with New and call Run once.
type Agent struct {
	s       settings.Settings
	log     *slog.Logger
	imds    *imds.Client
	plane   *controlplane.Client
	spool   *spool.Spool
	version string
	began   time.Time

	// reached is called after each step of a notice. Tests of kill -9 set it.
	reached func(step string)

	mu       sync.Mutex
	state    state
	notices  map[string]*carried
	watched  map[string]watch
	lastLook map[string]time.Time // when each path was last read, well or not
	ready    readiness
	rejoined bool // the instance was registered by an earlier process
	lastBeat time.Time
	beatErr  string
	joinErr  string // why the agent is not registered
	diskErr  string // why the last write to the state directory failed

	maintenance string        // what AWS has scheduled
	drained     chan struct{} // closed when the operator says that the workload is drained

	work   context.Context //nolint:containedctx // of what outlasts the order to stop: notices in hand
	inHand sync.WaitGroup

	hooksInHand sync.WaitGroup
	register    chan struct{} // asks for a registration
}

// watch is how reading one path of the metadata service goes.
type watch struct {
	LastRead time.Time `json:"last_read,omitzero"`
	Failures int       `json:"failures,omitempty"` // in a row
	Error    string    `json:"error,omitempty"`
}

// New puts an agent together. It reads the spool and the state that an earlier process
// has left.
func New(s settings.Settings, version string, log *slog.Logger) (*Agent, error) {
	store, err := spool.Open(s.StateDir)
	if err != nil {
		// A notice is reported without a disk too; after a restart it is read anew.
		log.Error("there is no room for notices on disk", "error", err)
	}
	a := &Agent{
		s: s, log: log, version: version, spool: store, began: time.Now(),
		imds:    imds.New(imds.Options{Endpoint: s.IMDS.Endpoint, Timeout: s.IMDS.Timeout}),
		reached: func(string) {},
		notices: map[string]*carried{}, watched: map[string]watch{}, lastLook: map[string]time.Time{},
		drained: make(chan struct{}), register: make(chan struct{}, 1),
	}
	a.plane, err = controlplane.New(controlplane.Options{
		Base:       s.API,
		CAFile:     s.CAFile,
		Version:    version,
		Credential: a.credential,
	})
	if err != nil {
		return nil, err
	}
	a.state = loadState(s.StateDir, log)
	return a, nil
}

// finishWithin is how long notices in hand may go on after the order to stop. The unit's
// TimeoutStopSec is above it.
const (
	finishWithin = 90 * time.Second
	reportWithin = 3 * time.Second
)

// Run runs the agent until ctx ends, and then until the notices in hand are dealt with.
func (a *Agent) Run(ctx context.Context) error {
	unlock, err := lockState(a.s.StateDir)
	if err != nil {
		return err
	}
	defer unlock()
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	a.work = work
	defer a.plane.Close()
	defer a.imds.Close()

	var parts sync.WaitGroup
	failed := make(chan error, 1)
	inner, stop := context.WithCancel(ctx)
	defer stop()
	parts.Go(func() {
		if err := a.serveSocket(inner); err != nil {
			failed <- fmt.Errorf("the socket %s cannot be served: %w", a.s.Socket, err)
			stop()
		}
	})
	parts.Go(func() { a.live(inner) })
	parts.Go(func() { a.watchdog(inner) })
	parts.Wait()

	a.finish(cancel)
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// finish waits for the notices in hand: for their hooks first, then a moment for reports
// that are not acknowledged, which go on after the next start.
func (a *Agent) finish(cancel context.CancelFunc) {
	for _, part := range []struct {
		of     *sync.WaitGroup
		within time.Duration
	}{{&a.hooksInHand, finishWithin}, {&a.inHand, reportWithin}} {
		finished := make(chan struct{})
		go func() { part.of.Wait(); close(finished) }()
		select {
		case <-finished:
		case <-time.After(part.within):
			cancel()
			<-finished
		}
	}
}

// live identifies the instance, and then starts the parts that need its id.
func (a *Agent) live(ctx context.Context) {
	if !a.identify(ctx) {
		return
	}
	a.resume()
	var parts sync.WaitGroup
	parts.Go(func() { a.watch(ctx, imds.InstanceAction, a.interrupted, nil) })
	parts.Go(func() { a.watch(ctx, imds.Rebalance, a.recommended, nil) })
	parts.Go(func() { a.watch(ctx, imds.Maintenance, a.announced, a.unannounced) })
	parts.Go(func() { a.keepRegistered(ctx) })
	parts.Go(func() { a.heartbeats(ctx) })
	parts.Go(func() { a.probe(ctx) })
	parts.Wait()
}

// identify asks the metadata service for the instance's id until it answers. The state of
// another instance, which an image can contain, is discarded.
func (a *Agent) identify(ctx context.Context) bool {
	for pause := time.Second; ; pause = min(2*pause, 15*time.Second) {
		id, err := a.imds.Identity(ctx)
		if err == nil {
			err = a.nameItself(ctx, id)
		}
		a.saw("identity", err)
		if err == nil {
			return true
		}
		a.log.WarnContext(ctx, "the instance does not know itself yet", "error", err)
		select {
		case <-ctx.Done():
			return false
		case <-time.After(min(pause, a.s.IMDS.Poll)):
		}
	}
}

func (a *Agent) nameItself(ctx context.Context, id imds.Identity) error {
	logical := a.s.AgentID
	if key, tagged := strings.CutPrefix(logical, "tag:"); tagged {
		value, err := a.imds.Tag(ctx, key)
		if err != nil {
			return err
		}
		if value == "" {
			return fmt.Errorf("the instance's tag %q is empty", key)
		}
		logical = value
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state.Identity.InstanceID != id.InstanceID || a.state.LogicalID != logical || a.state.API != a.s.API {
		a.state = state{API: a.s.API, LogicalID: logical}
	}
	a.state.Identity = id
	return nil
}

// watch reads one path until the agent ends.
func (a *Agent) watch(ctx context.Context, path string, found func(imds.Answer), absent func()) {
	if absent == nil {
		absent = func() {}
	}
	a.imds.Watch(ctx, path, a.s.IMDS.Poll, found, absent, func(err error) { a.saw(path, err) })
}

// saw records how a read went. Trouble is logged once when it begins and once when it is
// over: single failures are ordinary.
func (a *Agent) saw(path string, err error) {
	a.mu.Lock()
	w := a.watched[path]
	before := w.Failures
	if err == nil {
		w = watch{LastRead: time.Now()}
	} else {
		w.Failures, w.Error = w.Failures+1, err.Error()
	}
	a.watched[path], a.lastLook[path] = w, time.Now()
	a.mu.Unlock()
	switch {
	case w.Failures == troubleAfter:
		a.log.Warn("the metadata service cannot be read", "path", path, "error", err)
	case err == nil && before >= troubleAfter:
		a.log.Info("the metadata service can be read again", "path", path, "failures", before)
	}
}

// troubleAfter is how many failures in a row are worth a line.
const troubleAfter = 3

// errNotRegistered means that a report has no address yet.
var errNotRegistered = errors.New("the agent is not registered yet")

func (a *Agent) registered() (agentID string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state.AgentID == "" {
		return "", errNotRegistered
	}
	return a.state.AgentID, nil
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}
