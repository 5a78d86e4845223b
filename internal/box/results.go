package box

import (
	"context"
	"net/http"
	"strings"
	"time"
	"unicode"

	"spotkeeper/internal/box/controlplane"
	"spotkeeper/internal/box/spool"
)

const (
	// resultsFor is how long after the last hook its result is offered to the control plane.
	resultsFor = 10 * time.Minute
	// outputSent is how much of a hook's output is reported.
	outputSent = 1 << 10
)

// reportHooks reports how the hooks of a notice have ended, as each does, until all have
// ended and are reported. ran is closed when the last hook has ended. A control plane that is
// away is asked again; one that does not take results is left alone.
func (a *Agent) reportHooks(ctx context.Context, c *carried, ran <-chan struct{}) {
	pause, since, unknown := time.Second, time.Now(), 0
	for {
		over := isClosed(ran)
		sent, err := a.reportHooksOnce(ctx, c)
		switch {
		case sent:
			pause, since, unknown = time.Second, time.Now(), 0
			continue
		case err == nil && over:
			return
		case err == nil:
			if !waitHooks(ctx, c, ran) {
				return
			}
			continue
		case controlplane.IsStatus(err, http.StatusNotFound):
			unknown++ // an earlier control plane has no such route
		}
		if controlplane.Final(err) || unknown > 3 || over && time.Since(since) > resultsFor {
			a.log.WarnContext(ctx, "results of hooks are not at the control plane", "notice", c.n.ID, "error", err)
			return
		}
		if !wait(ctx, pause, nil) {
			return
		}
		pause = min(2*pause, retryMost)
	}
}

// waitHooks returns when a hook has ended, or when all have; false when ctx ends.
func waitHooks(ctx context.Context, c *carried, ran <-chan struct{}) bool {
	select {
	case <-ctx.Done():
		return false
	case <-ran:
	case <-c.hookEnded:
	}
	return true
}

// reportHooksOnce reports the runs that are not reported. sent is false when there are none.
func (a *Agent) reportHooksOnce(ctx context.Context, c *carried) (sent bool, err error) {
	in := controlplane.HookResults{}
	c.mu.Lock()
	in.InstanceID, in.NoticeID, in.Kind = c.n.InstanceID, c.n.ID, string(c.n.Kind)
	if c.n.Answer != nil {
		in.OperationID = c.n.Answer.OperationID
	}
	for _, h := range c.n.Hooks {
		if h.Ended.IsZero() || h.Reported {
			continue
		}
		in.Hooks = append(in.Hooks, controlplane.HookResult{
			Name: h.Name, Attempt: h.Attempts, Exit: h.Exit, Seconds: max(h.Ended.Sub(h.Started).Seconds(), 0),
			Ago: max(time.Since(h.Ended).Seconds(), 0), Output: readable(h.Output),
		})
	}
	c.mu.Unlock()
	if len(in.Hooks) == 0 {
		return false, nil
	}
	agentID, err := a.registered()
	if err != nil {
		return false, err
	}
	if err := a.plane.ReportHooks(ctx, agentID, in); err != nil {
		return false, err
	}
	c.update(func(n *spool.Notice) {
		for _, h := range in.Hooks {
			if ran, ok := n.Hook(h.Name); ok && ran.Attempts == h.Attempt {
				ran.Reported = true
			}
		}
	})
	a.save(c)
	for _, h := range in.Hooks {
		a.reached("hook reported " + h.Name)
	}
	return true, nil
}

// readable is the end of a hook's output as text: what a terminal would not print is left out.
func readable(output string) string {
	output = output[max(len(output)-outputSent, 0):]
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, output))
}
