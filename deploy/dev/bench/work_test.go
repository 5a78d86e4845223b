package bench

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	hist "go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"spotkeeper/deploy/dev/devtest"
	"spotkeeper/internal/testkit/histories"
)

// BenchmarkWork counts what failovers to a ready standby give a server to do, from the
// notice until the next standby is ready and the old instance only waits for AWS. Unlike
// the time and the CPU that they take, the counts are the same on a busy machine.
func BenchmarkWork(b *testing.B) {
	const n = 20
	s := devtest.Start(b, devtest.Options{})
	f := newFleet(b, s, "work", n, true)
	f.settle(b)
	rest := f.atRest(b)
	begun, before := time.Now(), cpu(f.Stack)
	for _, a := range f.agents {
		_, err := f.notify(b.Context(), a)
		require.NoError(b, err)
	}
	f.await(b, time.Minute, n, caredFor)
	f.settle(b)
	used, took := cpu(f.Stack), time.Since(begun)
	work := workSince(b, s.Dial(b.Context(), b), begun)
	heading(b, fmt.Sprintf("%d failovers with held standbys: what Temporal does for one", n))
	show(b, "workflow", "%s", "events  tasks  activities  timers  signals  local steps")
	var all histories.Work
	for _, kind := range slices.Sorted(maps.Keys(work)) {
		show(b, "  "+kind, "%s", perFailover(work[kind], n))
		all.Add(work[kind])
	}
	show(b, "  all", "%s", perFailover(all, n))
	used.subtract(rest, took)
	show(b, "CPU of one, that of a stack at rest subtracted", "%s", used.per(before, n))
	show(b, "CPU of a second at rest", "%s", rest.per(nil, 1))
}

func perFailover(w histories.Work, n int) string {
	of := func(count int) float64 { return float64(count) / float64(n) }
	return fmt.Sprintf("%6.1f %6.1f %11.1f %7.1f %8.1f %12.1f", of(w.Events), of(w.Tasks), of(w.Activities),
		of(w.Timers), of(w.Signals), of(w.Steps))
}

// atRest is the CPU that the stack uses in a second without any traffic.
func (f *fleet) atRest(b *testing.B) usage {
	b.Helper()
	const looked = 10 * time.Second
	before := cpu(f.Stack)
	select {
	case <-b.Context().Done():
	case <-time.After(looked):
	}
	out := usage{}
	out.add(before, cpu(f.Stack))
	for part := range out {
		out[part] = out[part] * time.Second / looked
	}
	return out
}

// workSince sums up the events since a moment, by workflow. Jobs are left out: they run by
// the clock.
func workSince(b *testing.B, c client.Client, since time.Time) map[string]histories.Work {
	b.Helper()
	out := map[string]histories.Work{}
	var page []byte
	for {
		found, err := c.ListWorkflow(b.Context(), &workflowservice.ListWorkflowExecutionsRequest{
			Query:         "TaskQueue = 'control' AND WorkflowType IN ('Guardian', 'Replica', 'Termination')",
			NextPageToken: page,
		})
		require.NoError(b, err)
		for _, e := range found.GetExecutions() {
			kind := e.GetType().GetName()
			w := out[kind]
			w.Add(histories.WorkOf(eventsSince(b, c, e.GetExecution().GetWorkflowId(), e.GetExecution().GetRunId(),
				since)))
			out[kind] = w
		}
		if page = found.GetNextPageToken(); len(page) == 0 {
			return out
		}
	}
}

func eventsSince(b *testing.B, c client.Client, id, run string, since time.Time) (out []*hist.HistoryEvent) {
	b.Helper()
	for it := c.GetWorkflowHistory(b.Context(), id, run, false,
		enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); it.HasNext(); {
		e, err := it.Next()
		require.NoError(b, err)
		if !e.GetEventTime().AsTime().Before(since) {
			out = append(out, e)
		}
	}
	return out
}
