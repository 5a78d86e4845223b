package workflows

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/workflows/steps"
)

// Kinds of operations; each is also the first part of its ids.
const (
	KindSwitch      = "switch"
	KindReplica     = "replica"
	KindTermination = "termination"
	KindPromotion   = "promotion"
	KindRemoval     = "removal"
	KindAdoption    = "adoption"
)

// How a step of a timeline ended.
const (
	stepStarted = "started"
	stepDone    = "done"
	stepFailed  = "failed"
	stepDropped = "dropped" // it did not fit any more
)

// How an operation ended.
const (
	stateSucceeded = "succeeded"
	stateFailed    = "failed"
	stateCancelled = "cancelled"
)

// operation is what every workflow that changes an agent shows of itself: its
// current details in the Temporal UI, the progress query, and its row in Postgres
// that pages read. The row is there before the workflow, and open until finish has
// written the end. Progress updates never block or fail the operation: one that
// cannot be written is kept for the next flush.
type operation struct {
	progress Progress
	seq      int
	unsaved  activities.OperationProgress // written at the next flush
}

// newOperation registers the query; call it before anything blocks.
func newOperation(ctx workflow.Context, kind, agentID string) (*operation, error) {
	run := workflow.GetInfo(ctx).WorkflowExecution
	o := &operation{
		progress: Progress{OperationID: run.ID, Kind: kind, AgentID: agentID, Steps: []ProgressStep{}},
		unsaved:  activities.OperationProgress{ID: run.ID, Kind: kind, AgentID: agentID, RunID: run.RunID},
	}
	return o, workflow.SetQueryHandler(ctx, QueryProgress, func() (Progress, error) { return o.progress, nil })
}

// describe says what the operation is about. It is written with the first phase.
func (o *operation) describe(in activities.OperationProgress) {
	o.unsaved.Summary, o.unsaved.Cause, o.unsaved.Deadline = in.Summary, in.Cause, in.Deadline
	o.unsaved.InstanceID, o.unsaved.ReplicaID = in.InstanceID, in.ReplicaID
	o.progress.Deadline, o.progress.ReplicaID, o.progress.InstanceID = in.Deadline, in.ReplicaID, in.InstanceID
}

// enterPhase begins a phase and writes what was added since the last one.
func (o *operation) enterPhase(ctx workflow.Context, phase, format string, args ...any) {
	o.passPhase(ctx, phase, format, args...)
	o.flush(ctx)
}

// passPhase begins a phase that waits for nothing: it is written with the next one.
func (o *operation) passPhase(ctx workflow.Context, phase, format string, args ...any) {
	o.progress.Phase, o.progress.Detail = phase, fmt.Sprintf(format, args...)
	o.addStep(ctx, phase, stepStarted, "%s", o.progress.Detail)
}

// addStep adds a line to the timeline. Lines that follow each other are written
// together, so flush before waiting for anything but the next phase.
func (o *operation) addStep(ctx workflow.Context, name, status, format string, args ...any) {
	o.addStepAt(ctx, workflow.Now(ctx), name, status, format, args...)
}

// addStepAt is addStep for something that happened at a known moment.
func (o *operation) addStepAt(ctx workflow.Context, at time.Time, name, status, format string, args ...any) {
	o.seq++
	s := ProgressStep{
		Name:        name,
		Status:      status,
		Detail:      fmt.Sprintf(format, args...),
		At:          at,
		SecondsLeft: o.secondsLeft(at),
	}
	o.progress.Steps = append(o.progress.Steps, s)
	o.unsaved.Steps = append(o.unsaved.Steps, activities.OperationStep{
		Seq: o.seq, Name: s.Name, Status: s.Status, Detail: s.Detail, SecondsLeft: s.SecondsLeft, At: s.At})
	workflow.SetCurrentDetails(ctx, o.progress.markdown())
}

// flush writes the progress since the last time, also when the workflow was
// cancelled. What cannot be written waits for the next time.
func (o *operation) flush(ctx workflow.Context) {
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	var local *activities.Operations
	o.clearSaved(ctx, steps.RunLocalWith(ctx, steps.PagePolicy, "page: "+o.progress.Phase, local.SaveOperation, o.current()).
		Get(ctx, nil))
}

// current is what the next write says.
func (o *operation) current() activities.OperationProgress {
	in := o.unsaved
	in.Phase, in.NewInstanceID, in.ReplicaID = o.progress.Phase, o.progress.NewInstanceID, o.progress.ReplicaID
	return in
}

// clearSaved drops what Postgres has stored, or has refused for good.
func (o *operation) clearSaved(ctx workflow.Context, err error) {
	if err != nil {
		workflow.GetLogger(ctx).Warn("progress of an operation was not written",
			"agent_id", o.progress.AgentID, "operation_id", o.progress.OperationID, "error", err)
	}
	if err == nil || !fault.KindOf(err).Retryable() {
		o.unsaved.Steps, o.unsaved.Summary, o.unsaved.Cause, o.unsaved.Warn = nil, "", "", ""
	}
}

// closeRow closes the operation's row. Until that is written the row is open and the
// sweep starts the workflow again, so it keeps trying.
func (o *operation) closeRow(ctx workflow.Context, end activities.OperationEnd) {
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	if end.Phase == "" {
		end.Phase = o.progress.Phase
	}
	o.progress.Phase, o.progress.Detail = end.Phase, end.Summary
	workflow.SetCurrentDetails(ctx, o.progress.markdown())
	var local *activities.Operations
	in := o.current()
	in.End = &end
	o.clearSaved(ctx, steps.RetryWhileUnavailable(ctx, steps.PagePolicy, "close the page: "+end.State, local.SaveOperation, nil,
		in))
}

// closeWithError closes the row with the cause; a cancellation is no failure.
func (o *operation) closeWithError(ctx workflow.Context, cause error, summary, notify string) {
	end := activities.OperationEnd{
		State:    stateFailed,
		Summary:  summary,
		Code:     string(fault.CodeOf(cause)),
		Error:    steps.Sentence(cause),
		Notify:   notify,
		Severity: "error",
	}
	if steps.IsCancellation(cause) {
		end.State, end.Notify, end.Severity = stateCancelled, "", ""
	}
	o.closeRow(ctx, end)
}

func (o *operation) secondsLeft(at time.Time) *float64 {
	if o.progress.Deadline == nil {
		return nil
	}
	left := o.progress.Deadline.Sub(at).Round(time.Millisecond).Seconds()
	return &left
}

// markdown is what operators read in the Temporal UI.
func (p Progress) markdown() string {
	lines := []string{fmt.Sprintf("**%s** of agent `%s`: %s", strings.ReplaceAll(p.Phase, "_", " "), p.AgentID,
		p.Detail)}
	shown := p.Steps[max(0, len(p.Steps)-steps.ShownLines):]
	timed := slices.ContainsFunc(shown, func(s ProgressStep) bool { return s.SecondsLeft != nil })
	if len(shown) > 0 {
		head, rule := "| time (UTC) | step | status | detail |", "|---|---|---|---|"
		if timed {
			head, rule = head+" s left |", rule+"---|"
		}
		lines = append(lines, "", head, rule)
	}
	for n, s := range shown {
		line := fmt.Sprintf("| %s | %s | %s | %s |", s.At.UTC().Format("15:04:05.000"), s.Name, p.statusOf(shown[n:]),
			strings.ReplaceAll(s.Detail, "|", "/"))
		switch {
		case !timed:
		case s.SecondsLeft == nil:
			line += " - |"
		default:
			line += fmt.Sprintf(" %.1f |", *s.SecondsLeft)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// statusOf is the status of the first of some steps. A phase is over when the next one begins
// or the operation ends: it says how long it took.
func (p Progress) statusOf(list []ProgressStep) string {
	s := list[0]
	if s.Status != stepStarted {
		return s.Status
	}
	for _, next := range list[1:] {
		if next.Status == stepStarted {
			return "took " + next.At.Sub(s.At).Round(time.Millisecond).String()
		}
	}
	if p.Phase != s.Name {
		return "ended"
	}
	return stepStarted
}

// detailOf reads a detail of the fault that an activity failed with, "" when it has none.
func detailOf(err error, name string) string {
	for e := err; e != nil; e = errors.Unwrap(e) {
		var details map[string]any
		switch e := e.(type) { //nolint:errorlint // as in sentence: the first of two types counts
		case *fault.Error:
			details = e.Details
		case *temporal.ApplicationError:
			if e.HasDetails() && e.Details(&details) != nil {
				return ""
			}
		default:
			continue
		}
		text, _ := details[name].(string)
		return text
	}
	return ""
}
