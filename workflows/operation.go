package workflows

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/fault"
)

// Kinds of operations; each is also the first part of its ids.
const (
	KindSwitch      = "switch"
	KindReplica     = "replica"
	KindTermination = "termination"
	KindPromotion   = "promotion"
	KindRemoval     = "removal"
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
// current details in the Temporal UI, the progress query, and the projection into
// Postgres that pages read. Showing is never on the way of doing: a projection
// that fails is logged, and the work goes on.
type operation struct {
	progress Progress
	runID    string
	seq      int
	opening  *activities.BeginOperation // the row that is not there yet
	unsaved  []activities.OperationStep // written at the next phase, before anything is waited for
}

// show registers the query; call it before anything blocks.
func show(ctx workflow.Context, kind, agentID string) (*operation, error) {
	run := workflow.GetInfo(ctx).WorkflowExecution
	o := &operation{runID: run.RunID, progress: Progress{OperationID: run.ID, Kind: kind, AgentID: agentID, Steps: []ProgressStep{}}}
	return o, workflow.SetQueryHandler(ctx, QueryProgress, func() (Progress, error) { return o.progress, nil })
}

// begin opens the operation's row.
func (o *operation) begin(ctx workflow.Context, in activities.BeginOperation) {
	in.ID, in.Kind, in.AgentID = o.progress.OperationID, o.progress.Kind, o.progress.AgentID
	o.progress.Deadline, o.progress.ReplicaID, o.progress.InstanceID = in.Deadline, in.ReplicaID, in.InstanceID
	o.opening = &in
	o.project(ctx, o.page)
}

// enter begins a phase, and saves what was noted in the one before.
func (o *operation) enter(ctx workflow.Context, phase, format string, args ...any) {
	o.progress.Phase, o.progress.Detail = phase, fmt.Sprintf(format, args...)
	o.line(ctx, phase, stepStarted, o.progress.Detail, phase)
	o.save(ctx)
}

// note writes down a step of the present phase. Several that follow each other
// are saved as one, so save before waiting for anything but the next phase.
func (o *operation) note(ctx workflow.Context, name, status, format string, args ...any) {
	o.line(ctx, name, status, fmt.Sprintf(format, args...), "")
}

func (o *operation) line(ctx workflow.Context, name, status, detail, phase string) {
	o.seq++
	s := ProgressStep{Name: name, Status: status, Detail: detail, At: workflow.Now(ctx), SecondsLeft: o.secondsLeft(ctx)}
	o.progress.Steps = append(o.progress.Steps, s)
	workflow.SetCurrentDetails(ctx, o.progress.markdown())
	o.unsaved = append(o.unsaved, activities.OperationStep{
		OperationID: o.progress.OperationID, RunID: o.runID, Seq: o.seq, Name: name, Status: status, Detail: detail,
		SecondsLeft: s.SecondsLeft, Phase: phase, NewInstanceID: o.progress.NewInstanceID, ReplicaID: o.progress.ReplicaID,
	})
}

// save projects what was noted.
func (o *operation) save(ctx workflow.Context) {
	if len(o.unsaved) > 0 {
		o.project(ctx, o.page)
	}
}

// project opens the row, if it is not there yet, and writes the steps. What could
// not be written waits for the next time.
func (o *operation) project(ctx workflow.Context, write writer) {
	var local *activities.Operations
	if o.opening != nil {
		if !write(ctx, "open the page", local.OpenOperation, *o.opening) {
			return
		}
		o.opening = nil
	}
	if n := len(o.unsaved); n > 0 && write(ctx, "page: "+o.unsaved[n-1].Name, local.RecordSteps, o.unsaved) {
		o.unsaved = nil
	}
}

// end closes the operation's row.
func (o *operation) end(ctx workflow.Context, in activities.EndOperation) {
	var local *activities.Operations
	o.project(ctx, o.settle)
	in.OperationID = o.progress.OperationID
	if in.Phase == "" {
		in.Phase = o.progress.Phase
	}
	o.progress.Phase, o.progress.Detail = in.Phase, in.Summary
	workflow.SetCurrentDetails(ctx, o.progress.markdown())
	o.settle(ctx, "close the page: "+in.State, local.CloseOperation, in)
}

// endBadly closes the row with the cause; a cancellation is no failure.
func (o *operation) endBadly(ctx workflow.Context, cause error, summary, notify string) {
	in := activities.EndOperation{State: stateFailed, Summary: summary, Code: string(fault.CodeOf(cause)), Error: sentence(cause), Notify: notify, Severity: "error"}
	if isCancel(cause) {
		in.State, in.Notify, in.Severity = stateCancelled, "", ""
	}
	o.end(ctx, in)
}

// writer tells Postgres, and says whether that is settled: written, or refused for good.
type writer func(ctx workflow.Context, summary string, activity, in any) (settled bool)

// page tells Postgres, also when the workflow was cancelled.
func (o *operation) page(ctx workflow.Context, summary string, activity, in any) bool {
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	return o.shown(ctx, localStepWith(ctx, pagePolicy, summary, activity, in).Get(ctx, nil))
}

func (o *operation) shown(ctx workflow.Context, err error) bool {
	if err != nil {
		workflow.GetLogger(ctx).Warn("operation was not shown", "agent_id", o.progress.AgentID, "operation_id", o.progress.OperationID, "error", err)
	}
	return err == nil || !fault.KindOf(err).Retryable()
}

// settle is page for what others go by when the operation is over: it is written
// even if Postgres is away for long.
func (o *operation) settle(ctx workflow.Context, summary string, activity, in any) bool {
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	return o.shown(ctx, insist(ctx, pagePolicy, summary, activity, nil, in))
}

func (o *operation) secondsLeft(ctx workflow.Context) *float64 {
	if o.progress.Deadline == nil {
		return nil
	}
	left := o.progress.Deadline.Sub(workflow.Now(ctx)).Round(time.Millisecond).Seconds()
	return &left
}

// shownSteps is how many lines the details have at most.
const shownSteps = 20

// markdown is what operators read in the Temporal UI.
func (p Progress) markdown() string {
	lines := []string{fmt.Sprintf("**%s** of agent `%s`: %s", strings.ReplaceAll(p.Phase, "_", " "), p.AgentID, p.Detail)}
	steps := p.Steps[max(0, len(p.Steps)-shownSteps):]
	if len(steps) > 0 {
		lines = append(lines, "", "| step | | detail | s left |", "|---|---|---|---|")
	}
	for _, s := range steps {
		left := ""
		if s.SecondsLeft != nil {
			left = fmt.Sprintf("%.1f", *s.SecondsLeft)
		}
		lines = append(lines, fmt.Sprintf("| %s | %s | %s | %s |", s.Name, s.Status, strings.ReplaceAll(s.Detail, "|", "/"), left))
	}
	return strings.Join(lines, "\n")
}

// sentence is what a user is told of an error: the fault's own words, without
// the causes below it and without how Temporal carried it. Operators find those
// in the history.
func sentence(err error) string {
	if app, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		return app.Message()
	}
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f.Message
	}
	return err.Error()
}
