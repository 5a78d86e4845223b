package box

import (
	"context"
	"io"
	"net/http"
	"time"

	"spotkeeper/internal/box/hooks"
)

// readiness is whether the workload answers.
type readiness struct {
	once      chan struct{} // closed when it first is
	Ready     bool          `json:"ready"`
	Successes int           `json:"successes,omitempty"` // in a row
	Since     time.Time     `json:"since,omitzero"`
	Error     string        `json:"error,omitempty"`
}

// readyNow is closed once the workload has been ready. An instance that was registered
// before has been.
func (a *Agent) readyNow() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ready.once == nil {
		a.ready.once = make(chan struct{})
		a.rejoined = a.state.AgentID != ""
		if a.rejoined || a.s.Ready.HTTP == "" && !a.s.Ready.Manual {
			a.setReady()
		}
	}
	return a.ready.once
}

// setReady is called with the lock held.
func (a *Agent) setReady() {
	if a.ready.Since.IsZero() {
		a.ready.Since = time.Now()
		close(a.ready.once)
	}
	a.ready.Ready = true
}

// probe asks the workload until it answers often enough in a row, then runs the hooks of
// that event. Later it keeps asking, for the status alone.
func (a *Agent) probe(ctx context.Context) {
	ready := a.readyNow()
	if a.s.Ready.HTTP != "" {
		client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		for {
			a.probed(askWorkload(ctx, client, a.s.Ready.HTTP))
			if !wait(ctx, a.s.Ready.Every, nil) {
				return
			}
			select {
			case <-ready:
				a.onceReady(ctx)
				ready = nil
			default:
			}
		}
	}
	select {
	case <-ctx.Done():
	case <-ready:
		a.onceReady(ctx)
	}
}

// onceReady runs the hooks once in the life of an instance as an agent.
func (a *Agent) onceReady(ctx context.Context) {
	if a.rejoined {
		return
	}
	a.log.InfoContext(ctx, "the workload is ready")
	a.runEvent(ctx, hooks.Ready, a.occasion(hooks.Ready, "ready"), nil)
}

func (a *Agent) probed(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := &a.ready
	if err != nil {
		r.Successes, r.Error, r.Ready = 0, err.Error(), false
		return
	}
	r.Error = ""
	if r.Successes++; r.Successes >= a.s.Ready.Successes {
		a.setReady()
	}
}

func askWorkload(ctx context.Context, client *http.Client, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10))
	if answer.StatusCode < 200 || answer.StatusCode >= 300 {
		return &statusError{address, answer.StatusCode}
	}
	return nil
}
