package box

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"spotkeeper/internal/box/imds"
	"spotkeeper/internal/box/spool"
)

// Status is the agent's state as its socket shows it.
type Status struct {
	Version     string           `json:"version"`
	PID         int              `json:"pid"`
	Since       time.Time        `json:"since"`
	API         string           `json:"api"`
	LogicalID   string           `json:"agent_id"`
	AgentID     string           `json:"registered_as,omitempty"`
	ClientID    string           `json:"client_id,omitempty"`
	Identity    imds.Identity    `json:"instance"`
	LastBeat    time.Time        `json:"last_heartbeat,omitzero"`
	BeatError   string           `json:"heartbeat_error,omitempty"`
	JoinError   string           `json:"registration_error,omitempty"`
	DiskError   string           `json:"disk_error,omitempty"` // of the last write to the state directory
	Ready       readiness        `json:"ready"`
	Metadata    map[string]watch `json:"metadata"`
	Maintenance string           `json:"maintenance,omitempty"`
	Notices     []spool.Notice   `json:"notices"`
}

// Rehearsal asks for a notice that AWS has not given.
type Rehearsal struct {
	Seconds float64 `json:"seconds"`
	// Report sends it to the control plane as a real one, which fails over.
	Report bool `json:"report"`
}

// Status says how the agent is.
func (a *Agent) Status() Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := Status{
		Version:     a.version,
		PID:         os.Getpid(),
		Since:       a.began,
		API:         a.s.API,
		LogicalID:   cmp.Or(a.state.LogicalID, a.s.AgentID),
		AgentID:     a.state.AgentID,
		ClientID:    a.state.ClientID,
		Identity:    a.state.Identity,
		LastBeat:    a.lastBeat,
		BeatError:   a.beatErr,
		JoinError:   a.joinErr,
		DiskError:   a.diskErr,
		Ready:       a.ready,
		Metadata:    map[string]watch{},
		Maintenance: a.maintenance,
		Notices:     []spool.Notice{},
	}
	for path, w := range a.watched {
		out.Metadata[path] = w
	}
	for _, c := range a.notices {
		c.mu.Lock()
		n := *c.n
		n.Hooks = slices.Clone(n.Hooks)
		c.mu.Unlock()
		out.Notices = append(out.Notices, n)
	}
	slices.SortFunc(out.Notices, func(x, y spool.Notice) int { return x.DetectedAt.Compare(y.DetectedAt) })
	return out
}

// serveSocket answers the agent's own commands. The socket is open to its user alone, and
// there is no other way in.
func (a *Agent) serveSocket(ctx context.Context) error {
	//nolint:gosec // commands of all users may see that it is there
	if err := os.MkdirAll(filepath.Dir(a.s.Socket), 0o755); err != nil {
		return err
	}
	if err := removeStale(ctx, a.s.Socket); err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", a.s.Socket)
	if err != nil {
		return err
	}
	if err := os.Chmod(a.s.Socket, 0o600); err != nil {
		return err
	}
	server := &http.Server{Handler: a.routes(), ReadHeaderTimeout: 5 * time.Second}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = server.Shutdown(within)
	}()
	a.notify("READY=1\nSTATUS=watching")
	err = server.Serve(listener)
	if errors.Is(err, http.ErrServerClosed) {
		<-stopped
		return nil
	}
	return err
}

// removeStale removes the socket of a process that has ended. One that still answers is
// another agent's.
func removeStale(ctx context.Context, path string) error {
	within, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(within, "unix", path)
	if err == nil {
		_ = conn.Close()
		return errors.New("another agent serves it: stop that one (systemctl stop spotkeeper-agent), " +
			"or give this one a state_dir and a socket of its own")
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (a *Agent) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { answer(w, a.Status()) })
	mux.HandleFunc("POST /ready", func(w http.ResponseWriter, _ *http.Request) {
		a.readyNow()
		a.mu.Lock()
		a.setReady()
		a.mu.Unlock()
		answer(w, "the workload is ready")
	})
	mux.HandleFunc("POST /drained", func(w http.ResponseWriter, _ *http.Request) {
		a.markDrained()
		answer(w, "the drain is over")
	})
	mux.HandleFunc("POST /drain", func(w http.ResponseWriter, _ *http.Request) {
		now := time.Now()
		n := &spool.Notice{
			ID:         spool.OrderID(spool.Drain, a.instanceID(), now),
			Kind:       spool.Drain,
			Asked:      true,
			DetectedAt: now,
			End:        now.Add(a.s.Hooks.Budget),
		}
		a.order(w, n)
	})
	mux.HandleFunc("POST /notice", func(w http.ResponseWriter, r *http.Request) {
		var in Rehearsal
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Seconds < 1 || in.Seconds > 600 {
			http.Error(w, "a simulated notice leaves 1 to 600 seconds", http.StatusBadRequest)
			return
		}
		now := time.Now()
		end := now.Add(time.Duration(in.Seconds * float64(time.Second)))
		a.order(w, &spool.Notice{
			ID:         spool.OrderID(spool.Termination, a.instanceID(), now),
			Kind:       spool.Termination,
			Asked:      true,
			Action:     "terminate",
			Deadline:   end.UTC().Truncate(time.Second),
			DetectedAt: now,
			End:        end,
			Rehearsal:  !in.Report,
		})
	})
	return mux
}

func (a *Agent) order(w http.ResponseWriter, n *spool.Notice) {
	if a.instanceID() == "" {
		http.Error(w, "the instance does not know itself yet: see status", http.StatusServiceUnavailable)
		return
	}
	if !a.take(n) {
		http.Error(w, "one is under way already: see status", http.StatusConflict)
		return
	}
	answer(w, fmt.Sprintf("begun as %s: see status", n.ID))
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the caller may be gone
}

func (a *Agent) drainedNow() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.drained
}

// markDrained ends the drain hooks that run now.
func (a *Agent) markDrained() {
	a.mu.Lock()
	defer a.mu.Unlock()
	close(a.drained)
	a.drained = make(chan struct{})
}
