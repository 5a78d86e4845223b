package bench

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"spotkeeper/deploy/dev/devtest"
)

// echo is the bare update round trip that failovers are compared with.
func echo(ctx workflow.Context) error {
	err := workflow.SetUpdateHandler(ctx, "echo", func(_ workflow.Context, s string) (string, error) { return s, nil })
	if err != nil {
		return err
	}
	workflow.GetSignalChannel(ctx, "stop").Receive(ctx, nil)
	return nil
}

// bareUpdates measures n updates of a warm workflow on the same server, and
// rests before each.
func bareUpdates(b *testing.B, s *devtest.Stack, n int, rest func(*testing.B)) sample {
	b.Helper()
	c := s.Dial(b.Context(), b)
	w := worker.New(c, "bench", worker.Options{})
	w.RegisterWorkflow(echo)
	require.NoError(b, w.Start())
	defer w.Stop()
	run, err := c.ExecuteWorkflow(b.Context(), client.StartWorkflowOptions{TaskQueue: "bench"}, echo)
	require.NoError(b, err)
	var took sample
	for range n {
		rest(b)
		begun := time.Now()
		h, err := c.UpdateWorkflow(b.Context(), client.UpdateWorkflowOptions{
			WorkflowID: run.GetID(), UpdateName: "echo", Args: []any{"x"}, WaitForStage: client.WorkflowUpdateStageCompleted})
		require.NoError(b, err)
		require.NoError(b, h.Get(b.Context(), nil))
		took = append(took, time.Since(begun))
	}
	require.NoError(b, c.SignalWorkflow(b.Context(), run.GetID(), "", "stop", nil))
	return took
}

// BenchmarkFailover is one notice at a time, first with a ready standby, then
// with none.
func BenchmarkFailover(b *testing.B) {
	s := devtest.Start(b, devtest.Options{OnDisk: true})
	const n = 100
	f := newFleet(b, s, "ready", n, true)
	busy := bareUpdates(b, s, n, func(*testing.B) {})
	bare := bareUpdates(b, s, n/2, f.settle)
	changed, answered, used, where := f.failOver(b)
	heading(b, "failover, one at a time, ready standby")
	show(b, "bare update, one after the other", "%v", busy)
	show(b, "bare update, each from rest like the failovers", "%v", bare)
	show(b, "notice → primary changed (target p99 ≤ 250 ms)", "%v", changed)
	show(b, "notice → HTTP answer", "%v", answered)
	show(b, "changed : bare, p50 (target ≤ 2)", "%.2f  (one after the other: %.2f)", changed.over(bare), changed.over(busy))
	show(b, "answered : bare, p50 (target ≤ 3)", "%.2f  (one after the other: %.2f)", answered.over(bare), answered.over(busy))
	where.show(b)
	show(b, "CPU until the answer (server ≤ 40 ms)", "%s", used.per(nil, n))

	f = newFleet(b, s, "emergency", n/2, false)
	changed, answered, _, _ = f.failOver(b)
	var launched sample
	rows, err := f.db.Query(b.Context(), `SELECT l.ended_at - n.received_at FROM launches l JOIN notices n ON n.agent_id = l.agent_id
		WHERE l.client_id = $1 AND l.state = 'launched' AND n.kind = 'termination-notice'`, f.client)
	require.NoError(b, err)
	defer rows.Close()
	for rows.Next() {
		var d time.Duration
		require.NoError(b, rows.Scan(&d))
		launched = append(launched, d)
	}
	require.NoError(b, rows.Err())
	heading(b, "failover, one at a time, no standby")
	show(b, "notice → emergency instance launched (≤ 1 s)", "%v", launched)
	show(b, "notice → primary changed", "%v", changed)
	show(b, "notice → HTTP answer", "%v", answered)
}

// failOver sends each agent's notice when what the one before set in motion has
// settled: the rebuilt standby would run beside the next notice otherwise, and
// the measurement would be one of throughput. used is the CPU time until the
// answers.
func (f *fleet) failOver(b *testing.B) (changed, answered sample, used usage, where *steps) {
	b.Helper()
	used, where = usage{}, &steps{}
	c := f.Dial(b.Context(), b)
	f.settle(b)
	for _, a := range f.agents {
		before := cpu(f.Stack)
		begun := time.Now()
		_, err := f.notify(b.Context(), a)
		require.NoError(b, err)
		ended := time.Now()
		answered = append(answered, ended.Sub(begun))
		changed = append(changed, f.changedAt(b, a.id).Sub(begun))
		used.add(before, cpu(f.Stack))
		where.follow(b, f, c, a, begun, ended)
		f.settle(b)
	}
	return changed, answered, used, where
}

// settle waits until all parts together have used less than a tenth of a core
// for half a second.
func (f *fleet) settle(b *testing.B) {
	b.Helper()
	const window = 500 * time.Millisecond
	for range 60 {
		before := cpu(f.Stack)
		<-time.After(window)
		if cpu(f.Stack).total()-before.total() < window/10 {
			return
		}
	}
	b.Fatal("the stack does not come to rest")
}
