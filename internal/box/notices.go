package box

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"spotkeeper/internal/box/controlplane"
	"spotkeeper/internal/box/hooks"
	"spotkeeper/internal/box/imds"
	"spotkeeper/internal/box/spool"
)

const (
	usualNotice    = 2 * time.Minute // what AWS gives when a notice names no time
	usualRebalance = 20 * time.Minute
	// hooksAfter is how long hooks wait for the control plane's first answer.
	hooksAfter = 3 * time.Second
	// lateReports is how long after its deadline a notice is still reported.
	lateReports = 10 * time.Minute
	// retryMost bounds the pauses 1 s, 2 s, 4 s … between two reports of a notice.
	retryMost = 8 * time.Second
	askAgain  = 3 * time.Second // while the control plane brings a successor about
	// keptFor is how long the record of a notice is kept when it is dealt with.
	keptFor = 24 * time.Hour
)

// carried is a notice that the agent deals with.
type carried struct {
	mu       sync.Mutex
	n        *spool.Notice
	answered chan struct{} // closed at the first answer
	settled  chan struct{} // closed when the answer is final: there is a successor, or none is needed
	end      time.Time     // the deadline, with a monotonic reading

	hookEnded chan struct{} // says that a hook has ended whose result is not reported
}

// interrupted takes in what the metadata service says at InstanceAction.
func (a *Agent) interrupted(answer imds.Answer) {
	action, err := imds.ParseAction(answer.Text)
	left := usualNotice
	if err != nil {
		// It is a notice all the same. The control plane takes two minutes from its arrival.
		a.log.Error("the interruption notice cannot be read", "error", err)
	} else {
		left = answer.Left(action.Time)
	}
	a.take(&spool.Notice{
		ID:         spool.NoticeID(spool.Termination, a.instanceID(), action.Time),
		Kind:       spool.Termination,
		Action:     action.Action,
		Deadline:   action.Time,
		DetectedAt: answer.At,
		End:        answer.At.Add(left),
	})
}

// recommended takes in what the metadata service says at Rebalance.
func (a *Agent) recommended(answer imds.Answer) {
	at := parseRebalance(answer.Text)
	a.take(&spool.Notice{
		ID:   spool.NoticeID(spool.Rebalance, a.instanceID(), at),
		Kind: spool.Rebalance, DetectedAt: answer.At, End: answer.At.Add(usualRebalance),
	})
}

// take makes a notice durable and starts to deal with it, once: began is false when it is
// under way. When the disk fails the notice is dealt with all the same.
func (a *Agent) take(n *spool.Notice) (began bool) {
	n.InstanceID = cmp.Or(n.InstanceID, a.instanceID())
	a.mu.Lock()
	known := a.isKnown(n)
	c := newCarried(n, n.End)
	if !known {
		a.notices[n.ID] = c
	}
	a.mu.Unlock()
	if known {
		return false
	}
	a.reached("detected")
	a.save(c)
	a.reached("spooled")
	a.log.Warn("a notice has come", "from", sender(n), "kind", n.Kind, "action", n.Action, "instance_id", n.InstanceID,
		"deadline", n.Deadline)
	a.begin(c)
	return true
}

func sender(n *spool.Notice) string {
	switch {
	case n.Rehearsal:
		return "rehearsal"
	case n.Asked:
		return "operator"
	}
	return "AWS"
}

// isKnown is called with the lock held. An interruption that AWS words anew, with another
// time, while the first one is still ahead is the same interruption. An order is refused while
// one like it is not done. An order never stands for an interruption by AWS.
func (a *Agent) isKnown(n *spool.Notice) bool {
	if _, known := a.notices[n.ID]; known {
		return true
	}
	for _, c := range a.notices {
		if c.n.Kind != n.Kind || c.n.Asked != n.Asked || c.n.Rehearsal != n.Rehearsal {
			continue
		}
		if n.Asked && !c.isDone() || !n.Asked && n.Kind == spool.Termination && time.Now().Before(c.end) {
			return true
		}
	}
	return false
}

func newCarried(n *spool.Notice, end time.Time) *carried {
	c := &carried{
		n: n, end: end, answered: make(chan struct{}), settled: make(chan struct{}), hookEnded: make(chan struct{}, 1),
	}
	unreported := n.Rehearsal || n.Kind == spool.Drain
	if unreported || n.Answer != nil {
		close(c.answered)
	}
	if unreported || n.Answer != nil && n.Answer.Final {
		close(c.settled)
	}
	return c
}

// resume continues with the notices that an earlier process has left. Those of another
// instance or of long ago are removed.
func (a *Agent) resume() {
	found, err := a.spool.Load()
	if err != nil {
		a.log.Error("part of the spool cannot be read", "error", err)
	}
	for _, n := range found {
		if n.InstanceID != a.instanceID() || time.Since(n.DetectedAt) > keptFor {
			if err := a.spool.Remove(n.ID); err != nil {
				a.log.Warn("an old notice stays on disk", "notice", n.ID, "error", err)
			}
			continue
		}
		a.timeAnew(n)
		c := newCarried(n, time.Now().Add(time.Until(n.End))) // with a monotonic reading
		a.mu.Lock()
		a.notices[n.ID] = c
		a.mu.Unlock()
		if !n.Done {
			a.begin(c)
		}
	}
}

// timeAnew takes the end of an interruption from the metadata service again: the instance's
// own clock may have been set since the notice came.
func (a *Agent) timeAnew(n *spool.Notice) {
	if n.Done || n.Rehearsal || n.Kind != spool.Termination {
		return
	}
	answer, err := a.imds.Get(a.work, imds.InstanceAction)
	if err != nil {
		return
	}
	action, err := imds.ParseAction(answer.Text)
	if err == nil && action.Time.Equal(n.Deadline) {
		n.End = answer.At.Add(answer.Left(action.Time))
	}
}

// begin reports the notice, runs its hooks and reports how they end, side by side.
func (a *Agent) begin(c *carried) {
	var parts sync.WaitGroup
	if !isClosed(c.settled) {
		parts.Go(func() { a.report(a.work, c) })
	}
	a.hooksInHand.Add(1)
	ran := make(chan struct{})
	parts.Go(func() {
		defer a.hooksInHand.Done()
		defer close(ran)
		a.runHooks(a.work, c)
	})
	if !c.n.Rehearsal {
		parts.Go(func() { a.reportHooks(a.work, c, ran) })
	}
	a.inHand.Go(func() {
		parts.Wait()
		a.close(c)
	})
}

func (a *Agent) close(c *carried) {
	if a.work.Err() != nil {
		return // it goes on after the restart
	}
	c.update(func(n *spool.Notice) { n.Done = true })
	a.save(c)
	a.reached("done")
}

// report repeats the notice until it is acknowledged. While the control plane still
// brings a successor about it is asked again, so that the workload is drained when there
// is one to take over.
func (a *Agent) report(ctx context.Context, c *carried) {
	for pause := time.Second; ; {
		answer, err := a.reportOnce(ctx, c)
		switch {
		case err == nil && answer.Action == controlplane.FailoverInProgress && time.Now().Before(c.end):
			a.acknowledge(c, answer, "", false)
			if !wait(ctx, askAgain, nil) {
				return
			}
			continue
		case err == nil:
			a.acknowledge(c, answer, "", true)
			return
		case controlplane.Final(err):
			a.log.ErrorContext(ctx, "the control plane refuses the notice", "notice", c.n.ID, "error", err)
			a.acknowledge(c, answer, err.Error(), true)
			return
		case controlplane.IsStatus(err, http.StatusNotFound) || errors.Is(err, errNotRegistered):
			a.askToRegister()
		case controlplane.IsStatus(err, http.StatusUnauthorized):
			a.dropToken()
		case time.Since(c.end) > lateReports:
			a.log.ErrorContext(ctx, "the notice was never acknowledged", "notice", c.n.ID, "error", err)
			return
		}
		a.log.WarnContext(ctx, "the notice is not acknowledged yet", "notice", c.n.ID, "error", err)
		if !wait(ctx, pause, nil) {
			return
		}
		pause = min(2*pause, retryMost)
	}
}

func (a *Agent) reportOnce(ctx context.Context, c *carried) (controlplane.Outcome, error) {
	agentID, err := a.registered()
	if err != nil {
		return controlplane.Outcome{}, err
	}
	n := c.n
	if n.Kind == spool.Rebalance {
		return controlplane.Outcome{}, a.plane.Rebalancing(ctx, agentID, n.InstanceID, n.DetectedAt)
	}
	out, err := a.plane.Terminating(ctx, agentID, n.InstanceID, n.Deadline, n.DetectedAt, n.Action)
	if err == nil {
		a.reached("answered")
	}
	return out, err
}

// acknowledge records an answer. The first one lets the hooks begin, the final one the drain.
func (a *Agent) acknowledge(c *carried, o controlplane.Outcome, refused string, final bool) {
	first := false
	c.update(func(n *spool.Notice) {
		first = n.Answer == nil
		n.Answer = &spool.Answer{At: time.Now(), Action: o.Action, NewInstanceID: o.NewInstanceID,
			OperationID: o.OperationID, Refused: refused, Final: final}
	})
	a.save(c)
	if first {
		closeOnce(c.answered)
		a.log.Info("the notice is acknowledged", "notice", c.n.ID, "action", o.Action,
			"new_instance_id", o.NewInstanceID)
		a.reached("acknowledged")
	}
	if final {
		closeOnce(c.settled)
	}
}

// runHooks runs the hooks of a notice. Its own begin with the control plane's first
// answer, or without it after three seconds; the drain begins when there is a successor,
// or when there is just enough time left for it.
func (a *Agent) runHooks(ctx context.Context, c *carried) {
	switch c.n.Kind {
	case spool.Rebalance:
		if wait(ctx, hooksAfter, c.answered) {
			a.runEvent(ctx, hooks.Rebalance, a.occasionOf(hooks.Rebalance, c), c)
		}
	case spool.Drain:
		a.runEvent(ctx, hooks.Drain, a.occasionOf(hooks.Drain, c), c)
	case spool.Termination:
		if !wait(ctx, hooksAfter, c.answered) {
			return
		}
		a.runEvent(ctx, hooks.Noticed, a.occasionOf(hooks.Noticed, c), c)
		if wait(ctx, time.Until(c.end)-a.s.Hooks.Budget, c.settled) {
			a.runEvent(ctx, hooks.Drain, a.occasionOf(hooks.Drain, c), c)
		}
	}
}

// save makes the notice durable, or says that it is not.
func (a *Agent) save(c *carried) {
	c.mu.Lock()
	err := a.spool.Save(c.n)
	c.mu.Unlock()
	a.wrote(err)
	if err != nil {
		a.log.Error("the notice is not on disk", "notice", c.n.ID, "error", err)
	}
}

func (c *carried) update(change func(*spool.Notice)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(c.n)
}

func (c *carried) isDone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n.Done
}

func (a *Agent) instanceID() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state.Identity.InstanceID
}

// closeOnce closes a channel that one goroutine alone closes.
func closeOnce(done chan struct{}) {
	if !isClosed(done) {
		close(done)
	}
}

func isClosed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}
