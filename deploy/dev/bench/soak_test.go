package bench

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"golang.org/x/sync/errgroup"

	"spotkeeper/deploy/dev/devtest"
	"spotkeeper/internal/domain/interruption"
	simclient "spotkeeper/internal/ec2sim/client"
)

var soakFor = flag.Duration("soak", 0, "how long BenchmarkSoak lasts; 0 leaves it out")

// movers are the agents that lose their instances during a soak, one a second, each
// once in five minutes. Every one holds a standby.
const movers = 300

// BenchmarkSoak lets ten thousand agents live on instances of their own while others
// lose theirs, one a second, with every scheduled job beside them. Each minute it
// shows what may grow: memory, rows and open workflows.
func BenchmarkSoak(b *testing.B) {
	if *soakFor == 0 {
		b.Skip("-soak says how long")
	}
	s := devtest.Start(b, devtest.Options{OnDisk: true})
	f := newFleet(b, s, "crowd", crowdSize, false)
	m := newFleet(b, s, "movers", movers, true)
	heading(b, fmt.Sprintf("%d agents and %d that lose an instance each second in turn, for %v", crowdSize, movers,
		*soakFor))
	shown := newLedger(b, m)
	shown.read(b)
	ctx, cancel := context.WithTimeout(b.Context(), *soakFor)
	defer cancel()
	var (
		beside  errgroup.Group
		notices *struck
	)
	beside.Go(func() error {
		notices = m.lose(ctx)
		return nil
	})
	beside.Go(func() error {
		tick := time.NewTicker(time.Minute)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
				shown.read(b)
			}
		}
	})
	d := f.live(b, *soakFor)
	require.NoError(b, beside.Wait())
	d.show(b)
	show(b, "notices", "%v  %v", notices.answered, notices.actions)
	require.Empty(b, d.failed, "every agent is answered")
	require.Equal(b, []string{"replica_promoted"}, slices.Collect(maps.Keys(notices.actions)))
	m.await(b, lastLook, movers, `SELECT count(*) FROM replicas WHERE client_id = $1 AND state = 'ready'`)
	shown.read(b)
	require.Equal(b, movers, m.count(b, `SELECT count(*) FROM instances WHERE client_id = $1 AND role = 'primary'`))
	taken := m.count(b, `SELECT count(*) FROM notices WHERE client_id = $1 AND result = 'promoted'`)
	require.Equal(b, m.count(b, `SELECT count(*) FROM notices WHERE client_id = $1`), taken, "none lost")
	require.Equal(b, taken, m.count(b, `SELECT count(*) FROM role_changes WHERE client_id = $1`), "none twice")
}

// struck is what became of the notices of a soak.
type struck struct {
	answered sample
	actions  map[string]int
}

// lose has AWS take the present primary of the next agent each second, and sends the
// notice of its end.
func (f *fleet) lose(ctx context.Context) *struck {
	var (
		out = struck{actions: map[string]int{}}
		wg  sync.WaitGroup
		mu  sync.Mutex
	)
	sim := simclient.NewClient(f.EC2, patient)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			wg.Wait()
			return &out
		case <-tick.C:
		}
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
			defer cancel()
			a := f.agents[i%len(f.agents)]
			err := f.db.QueryRow(ctx, `SELECT id FROM instances WHERE agent_id = $1 AND role = 'primary'`, a.id).
				Scan(&a.instance)
			if err == nil {
				_, err = sim.Signal(ctx, simclient.Interruption{
					InstanceID: a.instance, Kind: simclient.Notice, NoticeSeconds: interruption.Lead.Seconds()})
			}
			begun := time.Now()
			var action string
			if err == nil {
				action, err = f.notify(ctx, a)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				action = err.Error()
			}
			out.actions[action]++
			out.answered = append(out.answered, time.Since(begun))
		})
	}
}

// ledger shows what a stack holds, a line each time it is read.
type ledger struct {
	*fleet
	begun time.Time
	open  func(context.Context) (int64, error) // workflows
}

func newLedger(b *testing.B, f *fleet) *ledger {
	b.Helper()
	c := f.Dial(b.Context(), b)
	return &ledger{fleet: f, begun: time.Now(), open: func(ctx context.Context) (int64, error) {
		found, err := c.CountWorkflow(ctx,
			&workflowservice.CountWorkflowExecutionsRequest{Query: "ExecutionStatus = 'Running'"})
		return found.GetCount(), err
	}}
}

func (l *ledger) read(b *testing.B) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.Context()), 30*time.Second)
	defer cancel()
	open, err := l.open(ctx)
	var rows string
	if err == nil {
		err = l.db.QueryRow(ctx, `
SELECT format('operations open %s, all %s; decisions %s; price rows %s; events %s; replicas open %s; %s MB',
    (SELECT count(*) FROM operations WHERE state = 'running'),
    (SELECT count(*) FROM operations),
    (SELECT count(*) FROM decisions),
    (SELECT count(*) FROM price_submissions),
    (SELECT count(*) FROM events),
    (SELECT count(*) FROM replicas WHERE ended_at IS NULL),
    pg_database_size(current_database()) / 1000000)`).Scan(&rows)
	}
	if err != nil {
		rows = err.Error()
	}
	show(b, fmt.Sprintf("after %v", time.Since(l.begun).Round(time.Second)),
		"api %d, worker %d, temporal %d MiB; %d workflows; %s",
		resident(l.PID(devtest.API)), resident(l.PID(devtest.Worker)), resident(l.PID(devtest.Temporal)), open, rows)
}
