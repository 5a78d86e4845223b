package temporalx

import (
	"context"
	"errors"
	"slices"

	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"spotkeeper/internal/domain/fault"
)

// Faults is the interceptor that carries faults over Temporal. One that an
// activity, a workflow or an update handler returns becomes an application error
// whose type is the fault's code. The code's kind decides the rest: one that may
// pass is tried again; any other is final and benign, which keeps expected
// refusals out of the alerts. Without it the SDK would name an error after its
// Go type, and retry it.
type Faults struct {
	interceptor.WorkerInterceptorBase

	// Polls are the codes by which an activity says "not yet": its retry is the
	// poll, so they are tried again and worth no alert.
	Polls []fault.Code
}

// InterceptActivity implements interceptor.WorkerInterceptor.
func (f *Faults) InterceptActivity(
	_ context.Context,
	next interceptor.ActivityInboundInterceptor,
) interceptor.ActivityInboundInterceptor {
	return &activityFaults{interceptor.ActivityInboundInterceptorBase{Next: next}, f.Polls}
}

// InterceptWorkflow implements interceptor.WorkerInterceptor.
func (*Faults) InterceptWorkflow(
	_ workflow.Context,
	next interceptor.WorkflowInboundInterceptor,
) interceptor.WorkflowInboundInterceptor {
	return &workflowFaults{interceptor.WorkflowInboundInterceptorBase{Next: next}}
}

type activityFaults struct {
	interceptor.ActivityInboundInterceptorBase
	polls []fault.Code
}

// ExecuteActivity covers regular and local activities.
func (f *activityFaults) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	out, err := f.Next.ExecuteActivity(ctx, in)
	if e, ok := errors.AsType[*fault.Error](err); ok && slices.Contains(f.polls, e.Code) {
		return out, temporal.NewApplicationErrorWithOptions(e.Message, string(e.Code), temporal.ApplicationErrorOptions{
			Cause: e.Cause, Category: temporal.ApplicationErrorCategoryBenign})
	}
	return out, Translate(err)
}

type workflowFaults struct {
	interceptor.WorkflowInboundInterceptorBase
}

func (f *workflowFaults) ExecuteWorkflow(ctx workflow.Context, in *interceptor.ExecuteWorkflowInput) (any, error) {
	out, err := f.Next.ExecuteWorkflow(ctx, in)
	return out, Translate(err)
}

func (f *workflowFaults) ExecuteUpdate(ctx workflow.Context, in *interceptor.UpdateInput) (any, error) {
	out, err := f.Next.ExecuteUpdate(ctx, in)
	return out, Translate(err)
}

func (f *workflowFaults) ValidateUpdate(ctx workflow.Context, in *interceptor.UpdateInput) error {
	return Translate(f.Next.ValidateUpdate(ctx, in))
}

// Translate turns a fault into the application error that crosses the boundary;
// its details travel along. Any other error passes unchanged.
func Translate(err error) error {
	e, ok := errors.AsType[*fault.Error](err)
	if !ok {
		return err
	}
	opts := temporal.ApplicationErrorOptions{Cause: e.Cause}
	if e.Details != nil {
		opts.Details = []any{e.Details}
	}
	if !fault.KindOf(e).Retryable() {
		opts.NonRetryable = true
		opts.Category = temporal.ApplicationErrorCategoryBenign
	}
	return temporal.NewApplicationErrorWithOptions(e.Message, string(e.Code), opts)
}

// Restore is the way back: an application error with one of our codes becomes
// the fault it was, with its sentence and its details, so that the caller of a
// workflow answers like the caller of a function. Any other error passes.
func Restore(err error) error {
	app, ok := errors.AsType[*temporal.ApplicationError](err)
	if !ok || fault.Code(app.Type()).Kind() == fault.Internal {
		return err
	}
	e := fault.Code(app.Type()).Wrap(app.Unwrap(), "%s", app.Message())
	if app.HasDetails() {
		details := map[string]any{}
		if app.Details(&details) == nil {
			e.Details = details
		}
	}
	return e
}
