package temporalx

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"spotkeeper/internal/domain/fault"
)

// NoAttributes means that the namespace lacks search attributes of ours.
var NoAttributes = fault.Define("workflow.no_search_attributes", fault.Unavailable)

// Attributes lets workflows start in a namespace that lacks some of the search
// attributes they start with. The server refuses such a start, and fails a workflow
// task that starts such a child, for ever. Attributes are for searching alone, so
// those that the namespace lacks are left out of what is sent; they are sent
// again soon after they have been made there.
//
// It learns what is missing from Check, and from the first start that is refused.
// Give it to Connect; the zero value with Names is ready for use.
type Attributes struct {
	Names []string // all of the type Keyword

	service   workflowservice.WorkflowServiceClient
	namespace string

	asking  sync.Mutex // held while the namespace is asked
	mu      sync.Mutex // held for moments
	missing []string
	asked   time.Time
}

// How old an answer of the namespace may be, for probes and for a start that was refused,
// and how long one question may take.
const (
	looked    = 30 * time.Second
	refused   = time.Second
	askWithin = time.Second
)

// Check asks which of the attributes the namespace lacks. Fails with
// workflow.no_search_attributes, in a sentence that says what to do; what cannot
// be found out is no failure.
func (a *Attributes) Check(ctx context.Context) error {
	missing := a.ask(ctx, looked)
	if len(missing) == 0 {
		return nil
	}
	return NoAttributes.New("The namespace %s lacks the search attributes %s, of the type Keyword. "+
		"Workflows start without them and cannot be found by them until they are made there.",
		a.namespace, strings.Join(missing, ", "))
}

// ask answers what is missing. It asks the namespace unless an answer is young
// enough, and keeps to the former one when the namespace cannot be asked.
func (a *Attributes) ask(ctx context.Context, age time.Duration) []string {
	if !a.asking.TryLock() { // of concurrent callers one asks
		if age >= looked {
			was, _ := a.known()
			return was
		}
		a.asking.Lock()
	}
	defer a.asking.Unlock()
	was, at := a.known()
	if a.service == nil || time.Since(at) < age {
		return was
	}
	var missing []string
	all, err := a.lacks(ctx, a.Names...)
	for _, name := range a.Names {
		if !all || err != nil {
			break
		}
		var lacks bool
		if lacks, err = a.lacks(ctx, name); lacks {
			missing = append(missing, name)
		}
	}
	if err != nil {
		return was
	}
	a.set(missing)
	return missing
}

// lacks says whether the namespace lacks one of some attributes. It asks with a
// query, which needs no more than the right to read workflows: the list of
// attributes is closed to the API keys of Temporal Cloud.
func (a *Attributes) lacks(ctx context.Context, names ...string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	query := strings.Join(names, ` = "-" OR `) + ` = "-"`
	_, err := a.service.CountWorkflowExecutions(ctx,
		&workflowservice.CountWorkflowExecutionsRequest{Namespace: a.namespace, Query: query})
	if serviceerror.ToStatus(err).Code() == codes.InvalidArgument {
		return true, nil
	}
	return false, err
}

func (a *Attributes) known() (missing []string, asked time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.missing, a.asked
}

func (a *Attributes) set(missing []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.missing, a.asked = missing, time.Now()
}

// intercept is the gRPC interceptor. It takes out of each request what is known to
// be missing. A start that is refused nevertheless makes it look, and is sent once
// more; nothing was started by the first one.
func (a *Attributes) intercept(ctx context.Context, method string, in, out any,
	cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	used := slices.DeleteFunc(attributesOf(in), func(name string) bool { return !slices.Contains(a.Names, name) })
	if len(used) == 0 {
		return invoke(ctx, method, in, out, cc, opts...)
	}
	missing, asked := a.known()
	if len(missing) > 0 && time.Since(asked) > looked {
		missing = a.ask(ctx, looked)
	}
	err := invoke(ctx, method, without(in, missing), out, cc, opts...)
	if status.Code(err) != codes.InvalidArgument {
		return err
	}
	now := a.ask(ctx, refused)
	if _, task := in.(*workflowservice.RespondWorkflowTaskCompletedRequest); task {
		return err // the server has failed the task, and gives it out again
	}
	isNew := func(name string) bool { return slices.Contains(now, name) && !slices.Contains(missing, name) }
	if slices.ContainsFunc(used, isNew) {
		return invoke(ctx, method, without(in, now), out, cc, opts...)
	}
	// The namespace says that it has them all, or does not let us ask. Any other
	// reason for the refusal meets the request without them as well.
	if again := invoke(ctx, method, without(in, used), out, cc, opts...); again == nil {
		a.set(used)
		return nil
	}
	return err
}
