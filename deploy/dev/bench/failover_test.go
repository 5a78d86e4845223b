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
			WorkflowID:   run.GetID(),
			UpdateName:   "echo",
			Args:         []any{"x"},
			WaitForStage: client.WorkflowUpdateStageCompleted,
		})
		require.NoError(b, err)
		require.NoError(b, h.Get(b.Context(), nil))
		took = append(took, time.Since(begun))
	}
	require.NoError(b, c.SignalWorkflow(b.Context(), run.GetID(), "", "stop", nil))
	return took
}

// BenchmarkFailover is one notice at a time, first with a ready standby, then
// with none, then with a ready standby while Temporal is stopped.
func BenchmarkFailover(b *testing.B) {
	s := devtest.Start(b, devtest.Options{OnDisk: true})
	const n = 100
	f := newFleet(b, s, "ready", n, true)
	busy := bareUpdates(b, s, n, func(*testing.B) {})
	bare := bareUpdates(b, s, n/2, f.settle)
	f.settle(b)
	rest := f.atRest(b)
	ready := f.failOver(b)
	heading(b, "failover, one at a time, ready standby")
	show(b, "bare update, one after the other", "%v", busy)
	show(b, "bare update, each from rest like the failovers", "%v", bare)
	ready.show(b, bare, busy)
	show(b, "CPU until all is done, standby rebuilt", "%s", ready.used.per(nil, n))
	ready.used.subtract(rest, ready.took)
	show(b, "  that of a stack at rest subtracted (≤ 40 ms)", "%s", ready.used.per(nil, n))

	f = newFleet(b, s, "emergency", n/2, false)
	emergency := f.failOver(b)
	launched := f.durations(b,
		`SELECT l.ended_at - n.received_at FROM launches l JOIN notices n ON n.agent_id = l.agent_id
		WHERE l.client_id = $1 AND l.state = 'launched' AND n.kind = 'termination-notice'`)
	heading(b, "failover, one at a time, no standby")
	show(b, "notice → emergency instance launched (p99 ≤ 500 ms)", "%v", launched)
	show(b, "notice → primary changed", "%v", emergency.changed)
	show(b, "notice → HTTP answer", "%v", emergency.answered)

	f = newFleet(b, s, "away", n/2, true)
	f.settle(b)
	require.NoError(b, s.Kill(devtest.Temporal))
	away := f.failOver(b)
	require.NoError(b, s.Restart(b.Context(), devtest.Temporal))
	back := time.Now()
	f.await(b, 5*time.Minute, n/2, begunTerminations)
	begun := time.Since(back)
	heading(b, "failover, one at a time, ready standby, Temporal stopped")
	away.show(b, bare, busy)
	show(b, "Temporal back → all aftercare begun (≤ 60 s)", "%v", begun.Round(time.Millisecond))
}

// begunTerminations counts the terminations whose workflow has written of itself.
const begunTerminations = `SELECT count(DISTINCT o.id) FROM operations o JOIN operation_steps s ON s.operation_id = o.id
	WHERE o.client_id = $1 AND o.kind = 'termination'`

// failovers is what a row of failovers measured.
type failovers struct {
	changed, answered sample
	where             steps
	used              usage
	took              time.Duration // all of them, each until the stack was at rest again
}

func (m *failovers) show(b *testing.B, bare, busy sample) {
	b.Helper()
	show(b, "notice → primary changed", "%v", m.changed)
	show(b, "notice → HTTP answer (p99 ≤ 50 ms)", "%v", m.answered)
	show(b, "changed : bare, p50 (target ≤ 0.6)", "%.2f  (one after the other: %.2f)", m.changed.over(bare),
		m.changed.over(busy))
	show(b, "answered : bare, p50 (target ≤ 1)", "%.2f  (one after the other: %.2f)", m.answered.over(bare),
		m.answered.over(busy))
	m.where.show(b)
}

// failOver sends each agent's notice when what the one before set in motion has
// settled: the rebuilt standby would run beside the next notice otherwise, and
// the measurement would be one of throughput.
func (f *fleet) failOver(b *testing.B) *failovers {
	b.Helper()
	m := &failovers{used: usage{}}
	f.settle(b)
	for _, a := range f.agents {
		before := cpu(f.Stack)
		begun := time.Now()
		_, err := f.notify(b.Context(), a)
		require.NoError(b, err)
		ended := time.Now()
		m.answered = append(m.answered, ended.Sub(begun))
		m.changed = append(m.changed, m.where.follow(b, f, a, begun, ended).Sub(begun))
		f.settle(b)
		m.used.add(before, cpu(f.Stack))
		m.took += time.Since(begun)
	}
	return m
}

// durations reads a column of intervals.
func (f *fleet) durations(b *testing.B, query string) (out sample) {
	b.Helper()
	rows, err := f.db.Query(b.Context(), query, f.client)
	require.NoError(b, err)
	defer rows.Close()
	for rows.Next() {
		var d time.Duration
		require.NoError(b, rows.Scan(&d))
		out = append(out, d)
	}
	require.NoError(b, rows.Err())
	return out
}

// settle waits until all parts together have used less than a tenth of a core
// for half a second.
func (f *fleet) settle(b *testing.B) {
	b.Helper()
	f.settleBelow(b, .1, 30*time.Second)
}

// settleBelow waits until all parts together have used less than the share of a core
// for half a second.
func (f *fleet) settleBelow(b *testing.B, share float64, within time.Duration) {
	b.Helper()
	const window = 500 * time.Millisecond
	var used time.Duration
	for end := time.Now().Add(within); time.Now().Before(end); {
		before := cpu(f.Stack)
		<-time.After(window)
		if used = cpu(f.Stack).total() - before.total(); used < time.Duration(share*float64(window)) {
			return
		}
	}
	b.Fatalf("the stack does not come to rest: it still uses %v in %v", used, window)
}
