package workflows

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/temporalx"
)

// NoAnswer means that Temporal is there and the workflow did not answer in time:
// the message may have been taken or not.
var NoAnswer = fault.Define("workflow.no_answer", fault.Unavailable)

// sendUpdate sends an update, starting the Guardian if need be. A Guardian that is
// about to end refuses it; the next one takes it, under the same update id. An
// update whose answer was lost may so run twice, in two Guardians: the handlers
// recognize what they did by its natural key and by the update's id.
func sendUpdate[Out any](ctx context.Context, c *Client, agentID, update, key string, in any) (*Out, error) {
	id, err := updateID(key, in)
	if err != nil {
		return nil, err
	}
	ctx, done := c.withHealthDeadline(ctx, answerWithin)
	defer done()
	opts := c.guardian(ctx, agentID, update)
	opts.Priority.PriorityKey = priorityUrgent
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		out := new(Out)
		h, err := c.Temporal.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
			StartWorkflowOperation: c.Temporal.NewWithStartWorkflowOperation(opts, Guardian,
				GuardianInput{AgentID: agentID, Tuning: c.Tuning}),
			UpdateOptions: client.UpdateWorkflowOptions{
				UpdateID:     id,
				UpdateName:   update,
				Args:         []any{in},
				WaitForStage: client.WorkflowUpdateStageCompleted,
			},
		})
		if err == nil {
			err = h.Get(ctx, out)
		}
		switch {
		case err == nil:
			return out, nil
		case !isPassing(err) && !isTimeout(ctx, err):
			return nil, translateError(ctx, err)
		case c.OnRetry != nil:
			c.OnRetry(err)
		}
		select {
		case <-ctx.Done():
			return nil, translateError(ctx, err)
		case <-time.After(wait):
		}
	}
}

// keyEnd separates the key of an update from what it says.
const keyEnd = "#"

// updateID names a request by its key and by its content. Until a worker has
// answered, the server keeps an update in memory only; when that is lost, a second
// one of the same id takes its place. Were it to say something else, the history
// would hold its words and the deeds of the first, and no worker could replay it.
func updateID(key string, in any) (string, error) {
	said, err := json.Marshal(in)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(said)
	return key + keyEnd + hex.EncodeToString(sum[:8]), nil
}

// requestKey is the key of an update: what its sender means by "the same request".
func requestKey(updateID string) string {
	if end := strings.LastIndex(updateID, keyEnd); end >= 0 {
		return updateID[:end]
	}
	return updateID
}

func (c *Client) signal(ctx context.Context, id, name string, arg any) error {
	ctx, done := c.withHealthDeadline(ctx, signalWithin)
	defer done()
	return translateError(ctx, c.Temporal.SignalWorkflow(ctx, id, "", name, arg))
}

func (c *Client) signalWithStart(
	ctx context.Context,
	opts client.StartWorkflowOptions,
	name string,
	arg, fn, in any,
) error {
	ctx, done := c.withHealthDeadline(ctx, signalWithin)
	defer done()
	_, err := c.Temporal.SignalWithStartWorkflow(ctx, opts.ID, name, arg, opts, fn, in)
	return translateError(ctx, err)
}

// Ping says whether Temporal takes calls for our namespace. It is a call that names
// the namespace, because Temporal Cloud refuses any other to an API key, the health
// service among them; the frontend answers it from memory. Fails with
// workflow.unreachable.
func (c *Client) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingWithin)
	defer cancel()
	in := &workflowservice.DescribeNamespaceRequest{
		Namespace:       cmp.Or(c.Namespace, client.DefaultNamespace),
		WeakConsistency: true,
	}
	_, err := c.Temporal.WorkflowService().DescribeNamespace(ctx, in)
	switch {
	case err == nil, is[*serviceerror.ResourceExhausted](err): // it is there, and busy
		return nil
	case is[*serviceerror.NamespaceNotFound](err):
		return Unreachable.Wrap(err, "the workflow service has no namespace %s", in.GetNamespace())
	case answered(err):
		return Unreachable.Wrap(err, "the workflow service refuses calls for the namespace %s", in.GetNamespace())
	}
	return Unreachable.Wrap(err, "the workflow service is not available")
}

// answered says whether an error is the server's answer, as against a sign that it
// is away.
func answered(err error) bool {
	switch serviceerror.ToStatus(err).Code() {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Unknown:
		return false
	default:
		return true
	}
}

// withHealthDeadline bounds a call by the caller's deadline or the default, and ends it when
// Temporal is unavailable. The SDK retries an absent server until the deadline; a caller
// should get the error sooner. Call done to stop watching.
func (c *Client) withHealthDeadline(ctx context.Context, within time.Duration) (context.Context, func()) {
	release := func() {}
	if _, bounded := ctx.Deadline(); !bounded {
		ctx, release = context.WithTimeout(ctx, within)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for misses := 0; ; {
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
			switch err := c.health.pingShared(ctx, c); {
			case err == nil, answered(errors.Unwrap(err)): // a refusal is an answer, and the call itself meets it too
				misses = 0
			case ctx.Err() != nil:
				return
			case isRefused(err) || misses >= 2: // a busy server may miss one
				cancel(err)
				return
			default:
				misses++
			}
		}
	}()
	return ctx, func() {
		cancel(context.Canceled)
		<-ended
		release()
	}
}

// pingShared pings at most once in half a second for all callers together.
func (h *health) pingShared(ctx context.Context, c *Client) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.at) < 500*time.Millisecond {
		return h.err
	}
	err := c.Ping(ctx)
	if ctx.Err() != nil {
		return err // it says more about the asker than about Temporal
	}
	h.at, h.err = time.Now(), err
	return err
}

// translateError turns what the SDK returns into what callers understand.
func translateError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if away := context.Cause(ctx); fault.Is(away, Unreachable) {
		return away
	}
	if restored := temporalx.Restore(err); fault.CodeOf(restored).Kind() != fault.Internal {
		return restored
	}
	switch {
	case isRefused(err):
		return Unreachable.Wrap(err, "the workflow service is not available")
	case isNotFound(err):
		return NoOperation.Wrap(err, "there is no such operation in flight")
	case ctx.Err() != nil, is[*serviceerror.DeadlineExceeded](err), is[*serviceerror.Canceled](err), isPassing(err),
		is[*client.WorkflowUpdateServiceTimeoutOrCanceledError](err):
		return NoAnswer.Wrap(err, "the workflow did not answer in time")
	}
	return err
}

// isPassing says whether the next Guardian, or the next moment, may take the
// update: a run that ends, a worker that lost the task, a server that is busy.
func isPassing(err error) bool {
	return isNotFound(err) || fault.CodeOf(err) == "AcceptedUpdateCompletedWorkflow" ||
		is[*serviceerror.WorkflowNotReady](err) || is[*serviceerror.Unavailable](err) ||
		is[*serviceerror.ResourceExhausted](err) || is[*serviceerror.Aborted](err) ||
		is[*serviceerror.MultiOperationExecution](err)
}

// isTimeout says whether one call of the SDK ran out of its own time, a minute,
// while the caller has some left.
func isTimeout(ctx context.Context, err error) bool {
	return ctx.Err() == nil &&
		(is[*client.WorkflowUpdateServiceTimeoutOrCanceledError](err) || is[*serviceerror.DeadlineExceeded](err))
}

// isRefused says that Temporal is not there, as against slow.
func isRefused(err error) bool {
	if is[*serviceerror.Unavailable](err) {
		return true
	}
	var carries interface{ GRPCStatus() *status.Status }
	return errors.As(err, &carries) && carries.GRPCStatus().Code() == codes.Unavailable
}

func isNotFound(err error) bool { return is[*serviceerror.NotFound](err) }

// ignoreEnded forgives that an operation has ended.
func ignoreEnded(err error) error {
	if fault.Is(err, NoOperation) {
		return nil
	}
	return err
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
