package histories

import (
	"reflect"
	"runtime"
	"slices"
	"strings"
	"unicode"

	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// DirectoryOf is the name of the directory for a workflow type: PriceDedup lives in
// price-dedup, MLDataset in ml-dataset.
func DirectoryOf(workflowType string) string {
	var b strings.Builder
	letters := []rune(workflowType)
	for i, r := range letters {
		starts := i > 0 && unicode.IsUpper(r) &&
			(unicode.IsLower(letters[i-1]) || i+1 < len(letters) && unicode.IsLower(letters[i+1]))
		if starts {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// Registered lists the kinds of what a function registers, sorted.
func Registered(register func(worker.WorkflowRegistry)) []string {
	var r registry
	register(&r)
	slices.Sort(r.kinds)
	return r.kinds
}

// registry notes what is registered, by name. What it does not know panics, so
// that an incomplete list is not taken for a complete one.
type registry struct {
	worker.WorkflowRegistry

	kinds []string
}

// RegisterWorkflowWithOptions implements worker.WorkflowRegistry.
func (r *registry) RegisterWorkflowWithOptions(w any, _ workflow.RegisterOptions) {
	r.RegisterWorkflow(w)
}

// RegisterWorkflow implements worker.WorkflowRegistry.
func (r *registry) RegisterWorkflow(w any) {
	name := runtime.FuncForPC(reflect.ValueOf(w).Pointer()).Name()
	r.kinds = append(r.kinds, DirectoryOf(name[strings.LastIndexByte(name, '.')+1:]))
}
