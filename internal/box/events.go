package box

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"spotkeeper/internal/box/hooks"
	"spotkeeper/internal/box/imds"
	"spotkeeper/internal/box/spool"
)

// statusError is a workload that answers, but not well.
type statusError struct {
	address string
	status  int
}

func (e *statusError) Error() string { return fmt.Sprintf("%s answered %d", e.address, e.status) }

// occasion is what hooks are given outside a notice.
func (a *Agent) occasion(event hooks.Event, reason string) hooks.Occasion {
	a.mu.Lock()
	defer a.mu.Unlock()
	return hooks.Occasion{
		Event:      event,
		Reason:     reason,
		AgentID:    a.state.LogicalID,
		InstanceID: a.state.Identity.InstanceID,
		Left:       a.s.Hooks.Budget,
	}
}

// occasionOf is what hooks are given of a notice.
func (a *Agent) occasionOf(event hooks.Event, c *carried) hooks.Occasion {
	o := a.occasion(event, "")
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.n.Rehearsal:
		o.Reason = "simulation"
	case c.n.Kind == spool.Drain:
		o.Reason = "operator"
	default:
		o.Reason = string(c.n.Kind)
	}
	if c.n.Kind == spool.Termination {
		o.Deadline, o.Left = c.n.Deadline, time.Until(c.end)
	}
	if c.n.Answer != nil {
		o.PeerID = c.n.Answer.NewInstanceID
	}
	return o
}

// runEvent runs the hooks of an event within the budget, and within the time that the
// notice leaves. What an earlier process has run to its end is not run again. With a
// notice, each start and end is on disk.
func (a *Agent) runEvent(ctx context.Context, event hooks.Event, o hooks.Occasion, c *carried) {
	groups, err := hooks.Find(a.s.Hooks.Dir, event)
	if err != nil {
		a.log.ErrorContext(ctx, "hooks are left out", "event", event, "error", err)
	}
	budget := a.s.Hooks.Budget
	if !o.Deadline.IsZero() {
		budget = max(min(budget, o.Left), time.Second)
	}
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	if event == hooks.Drain {
		go func() {
			select {
			case <-ctx.Done():
			case <-a.drainedNow():
				cancel()
			}
		}()
	}
	began := time.Now()
	for _, group := range groups {
		group = a.unfinished(c, group)
		if len(group) == 0 || ctx.Err() != nil {
			continue
		}
		hooks.RunGroup(ctx, group, func(p hooks.Program) hooks.Occasion {
			one := o
			one.Left = o.Left - time.Since(began)
			one.Attempt = a.started(c, p)
			return one
		}, func(p hooks.Program, r hooks.Result) { a.ended(ctx, c, p, r) })
	}
}

// unfinished leaves out what has ended already.
func (a *Agent) unfinished(c *carried, group []hooks.Program) []hooks.Program {
	if c == nil {
		return group
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []hooks.Program
	for _, p := range group {
		if h, ran := c.n.Hook(p.Name); !ran || h.Ended.IsZero() {
			out = append(out, p)
		}
	}
	return out
}

// started makes the start of a hook durable and counts it.
func (a *Agent) started(c *carried, p hooks.Program) (attempt int) {
	if c == nil {
		return 1
	}
	c.update(func(n *spool.Notice) {
		h, ran := n.Hook(p.Name)
		if !ran {
			n.Hooks = append(n.Hooks, spool.Hook{Name: p.Name})
			h = &n.Hooks[len(n.Hooks)-1]
		}
		h.Attempts, h.Started = h.Attempts+1, time.Now()
		attempt = h.Attempts
	})
	a.save(c)
	a.reached("hook started " + p.Name)
	return attempt
}

func (a *Agent) ended(ctx context.Context, c *carried, p hooks.Program, r hooks.Result) {
	level := slog.LevelInfo
	if r.Exit != 0 {
		level = slog.LevelError
	}
	a.log.Log(ctx, level, "a hook has ended", "hook", p.Name, "exit", r.Exit, "output", r.Output)
	if c == nil {
		return
	}
	if a.work.Err() != nil {
		return // it was cut off by the end of the agent, not by its own
	}
	c.update(func(n *spool.Notice) {
		if h, ran := n.Hook(p.Name); ran {
			h.Ended, h.Exit, h.Output = time.Now(), r.Exit, r.Output
		}
	})
	a.save(c)
	a.reached("hook ended " + p.Name)
	select {
	case c.hookEnded <- struct{}{}:
	default: // the reporter looks again anyway
	}
}

// parseRebalance reads {"noticeTime": …}. A text without it is a recommendation all the same.
func parseRebalance(text string) time.Time {
	var said struct {
		At time.Time `json:"noticeTime"`
	}
	_ = json.Unmarshal([]byte(text), &said)
	return said.At
}

// announced records scheduled maintenance for the status. AWS notifies the account's owner
// days ahead, so the instance need not act.
func (a *Agent) announced(answer imds.Answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.maintenance = answer.Text
	if a.maintenance == "[]" {
		a.maintenance = ""
	}
}

func (a *Agent) unannounced() { a.announced(imds.Answer{}) }
