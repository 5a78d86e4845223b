package e2e

import (
	"context"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"spotkeeper/deploy/dev/devtest"
	"spotkeeper/internal/app"
	"spotkeeper/internal/config"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/postgres/accounts"
	"spotkeeper/internal/postgres/agents"
	"spotkeeper/internal/temporalx"
	"spotkeeper/workflows"
)

// raceKey seals what the races store.
const raceKey = "c3BvdGtlZXBlciByYWNlIHRlc3Qga2V5ICAzMiBiISE="

const (
	raceAgents   = 20
	raceInFlight = 64
)

var (
	raceMoves = flag.Int("race-moves", 2,
		"moves of each agent in TestRaces, of two updates each; `make races` takes 5")
	raceUpdates = flag.Int("race-updates", 320,
		"updates in TestRaces beside those of moves, and as many wakes and a quarter; `make races` takes 800")
)

// TestRaces sends updates and wakes at random moments to few agents whose
// Guardians end, or continue as new, all the time. What was sent is compared with
// what the runs say they took in, and with what came of it.
func TestRaces(t *testing.T) { // alone: it is as much as a machine can do
	s := devtest.Start(t, devtest.Options{Without: []string{devtest.Worker, devtest.API}})
	ctx := deadline(t, 5*time.Minute)
	require.NoError(t, s.Migrate(ctx))
	for _, c := range []struct {
		name   string
		tuning workflows.Tuning
	}{
		{"ending", workflows.Tuning{IdleGrace: 3 * time.Millisecond}},
		{"continuing as new", workflows.Tuning{IdleGrace: 5 * time.Millisecond, MaxEvents: 12}},
	} {
		t.Run(c.name, func(t *testing.T) { race(t, s, c.tuning) })
	}
}

// witness is the Temporal client of the product, and counts the wakes that it
// delivers for any sender.
type witness struct {
	client.Client
	wakes atomic.Int64

	mu      sync.Mutex
	refused []error
}

func (w *witness) refusals() []error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.refused)
}

// SignalWithStartWorkflow implements client.Client.
func (w *witness) SignalWithStartWorkflow(
	ctx context.Context,
	id, signal string,
	arg any,
	o client.StartWorkflowOptions,
	fn any,
	args ...any,
) (client.WorkflowRun, error) {
	run, err := w.Client.SignalWithStartWorkflow(ctx, id, signal, arg, o, fn, args...)
	switch {
	case signal != workflows.SignalWake:
	case err == nil:
		w.wakes.Add(1)
	case ctx.Err() != nil || isLate(err): // the client gave up waiting, and its activity sends the wake again
	default:
		w.mu.Lock()
		defer w.mu.Unlock()
		w.refused = append(w.refused, fmt.Errorf("%s: %w", id, err))
	}
	return run, err
}

// isLate says whether a call met its own deadline, so that it may have been served.
func isLate(err error) bool {
	_, byServer := errors.AsType[*serviceerror.DeadlineExceeded](err)
	return byServer || errors.Is(err, context.DeadlineExceeded)
}

// racer is a stack's worker in this process, and who sends.
type racer struct {
	*fleet
	app     *app.App
	witness *witness
	wire    *wire
	retries atomic.Int64 // ours, above the SDK's
	queue   string
	agents  []string
	primary map[string]string // of each agent, before it moves
	books   *books
}

func race(t *testing.T, s *devtest.Stack, tuning workflows.Tuning) {
	t.Helper()
	r := startRacer(t, s, tuning)
	ctx := deadline(t, 8*time.Minute)

	begun := time.Now()
	chains, _ := errgroup.WithContext(ctx)
	for _, id := range r.agents {
		chains.Go(func() error { return r.move(ctx, id) })
	}
	others, _ := errgroup.WithContext(ctx)
	others.SetLimit(raceInFlight - raceAgents)
	orders := rand.Perm(*raceUpdates + *raceUpdates*5/4)
	for _, n := range orders {
		id := r.agents[rand.IntN(len(r.agents))] //nolint:gosec // not secret
		others.Go(func() error {
			<-time.After(time.Duration(rand.IntN(40)) * time.Millisecond) //nolint:gosec // not secret
			if n < *raceUpdates {
				_, err := r.app.Workflows.Configure(ctx, id,
					workflows.ConfigureInput{Keeping: agent.KeepAuto, By: "race"})
				return err
			}
			return r.app.Workflows.Wake(ctx, id, "race")
		})
	}
	require.NoError(t, others.Wait())
	require.NoError(t, chains.Wait())
	t.Logf("sent in %s", time.Since(begun).Round(time.Millisecond))

	updates := *raceUpdates + 2**raceMoves*raceAgents
	var last guardians
	require.Eventually(t, func() bool {
		now, err := r.guardians(ctx)
		if err != nil {
			return false
		}
		last = now
		return now.running == 0 && now.Wakes >= int(r.witness.wakes.Load()) && now.Updates >= updates
	}, time.Minute, 500*time.Millisecond, "%v", lately{&last, r})
	requests, ids := r.wire.sent()
	t.Logf(
		"%d runs completed, %d continued as new; %d updates taken of %d sent in %d requests (refused: %v; tried again by us: %d), %d wakes taken of %d sent in %d requests",
		last.completed,
		last.continued,
		last.Updates,
		updates,
		requests,
		r.wire.refused,
		r.retries.Load(),
		last.Wakes,
		r.witness.wakes.Load(),
		r.wire.wakesSent(),
	)

	require.Empty(t, r.witness.refusals(), "wakes that were refused")
	require.LessOrEqual(t, last.Wakes, r.wire.wakesSent(), "wakes were taken more often than they were sent")
	require.Equal(t, updates, ids)
	taken, sum := r.taken(t, last.runs), 0
	for id, times := range taken {
		require.LessOrEqual(t, times, r.wire.requests[id], "update %s was taken more often than it was sent", id)
		sum += times
	}
	require.Len(t, taken, updates, "updates that were lost")
	require.Equal(t, sum, last.Updates, "what the runs say they took, and what their histories say")
	if tuning.MaxEvents > 0 {
		require.Positive(t, last.continued)
	}
	r.compare(t)
}

func startRacer(t *testing.T, s *devtest.Stack, tuning workflows.Tuning) *racer {
	t.Helper()
	r := &racer{
		queue:   fmt.Sprintf("race-%d-%d", tuning.IdleGrace.Milliseconds(), tuning.MaxEvents),
		primary: map[string]string{},
		books:   openBooks(t, s),
		wire:    &wire{requests: map[string]int{}, refused: map[string]int{}},
	}
	environment := s.Environment()
	environment["SECRET_KEY"] = raceKey
	environment["TEMPORAL_TASK_QUEUE"], environment["WORKER_SCHEDULES"], environment["WORKER_METRICS_LISTEN"] = r.queue, "false", ""
	settings, err := config.Load(environment)
	require.NoError(t, err)
	settings.Worker.MetricsListen = ""
	r.app, err = app.Open(t.Context(), settings, app.Options{Log: slog.New(slog.DiscardHandler), Tuning: tuning,
		Temporal: temporalx.Options{
			Address:   s.Temporal,
			Namespace: s.Namespace,
			Dial:      []grpc.DialOption{grpc.WithChainUnaryInterceptor(r.wire.intercept)},
		}})
	require.NoError(t, err)
	r.witness = &witness{Client: r.app.Temporal}
	r.app.Workflows.Temporal = r.witness
	r.app.Workflows.OnRetry = func(error) { r.retries.Add(1) }
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.app.RunWorker(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
		r.app.Close()
	})
	r.settle(t, s)
	return r
}

// settle makes a client and its agents, as the api would.
func (r *racer) settle(t *testing.T, s *devtest.Stack) {
	t.Helper()
	tenants, err := accounts.NewClients(r.app.DB, mustDecode(t, raceKey))
	require.NoError(t, err)
	owner, _, err := tenants.Create(t.Context(), clients.NewClient{
		Name:    r.queue,
		Account: clients.Account{Own: true},
	}, "test")
	require.NoError(t, err)
	r.fleet = newFleet(t, s, tenant{ID: owner.ID})
	store := &agents.Agents{DB: r.app.DB}
	for i := range raceAgents {
		at, err := r.marked(t.Context(), r.queue, zones[i%len(zones)])
		require.NoError(t, err)
		got, err := store.Register(t.Context(), agent.Registration{
			ClientID:     owner.ID,
			Launcher:     agent.ControlPlane,
			LogicalID:    fmt.Sprintf("agent-%02d", i),
			InstanceID:   at,
			InstanceType: machine,
			Region:       region,
			AZ:           zones[i%len(zones)],
			Mode:         agent.Spot,
			Version:      "4.0.0",
		})
		require.NoError(t, err)
		r.agents = append(r.agents, got.AgentID)
		r.primary[got.AgentID] = at
	}
	require.NoError(t, until(t.Context(), again, func() (bool, error) { // nothing is launched for what is not proven
		adopted, err := r.books.list(t.Context(),
			`SELECT id FROM instances WHERE client_id = $1 AND proof = 'adopted'`, owner.ID)
		return len(adopted) == raceAgents, err
	}))
}

func mustDecode(t *testing.T, text string) []byte {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(text)
	require.NoError(t, err)
	return raw
}

// move takes an agent from instance to instance: an emergency replica, then the
// notice, which finds the replica ready or not.
func (r *racer) move(ctx context.Context, id string) error {
	at := r.primary[id]
	for range *raceMoves {
		if _, err := r.app.Workflows.EmergencyReplica(ctx, id, workflows.EmergencyInput{
			InstanceID: at,
			Kind:       interruption.Rebalance,
		}); err != nil {
			return err
		}
		<-time.After(time.Duration(rand.IntN(300)) * time.Millisecond) //nolint:gosec // not secret
		answer, err := r.app.Workflows.TerminationNotice(ctx, id, workflows.NoticeInput{
			InstanceID: at,
			Deadline:   time.Now().Add(interruption.NoticeLead),
			Wait:       time.Minute,
		})
		if err != nil {
			return err
		}
		switch answer.Status {
		case workflows.NoticePromoted:
			at = answer.NewPrimary
		case workflows.NoticeInProgress: // its Guardian continued as new meanwhile
			if at, err = r.successor(ctx, id, at); err != nil {
				return err
			}
		default:
			return fmt.Errorf("the notice of %s was answered %+v", at, answer)
		}
	}
	return nil
}

// successor waits until another instance is the agent's primary.
func (r *racer) successor(ctx context.Context, id, of string) (next string, err error) {
	return next, until(ctx, again, func() (bool, error) {
		found, err := r.books.list(ctx,
			`SELECT id FROM instances WHERE agent_id = $1 AND role = 'primary' AND id <> $2`, id, of)
		if len(found) > 0 {
			next = found[0]
		}
		return err != nil || next != "", err
	})
}

// compare counts what came of it, in Postgres and in the cloud.
func (r *racer) compare(t *testing.T) {
	t.Helper()
	moves := raceAgents * *raceMoves
	ctx := deadline(t, time.Minute)
	count := func(sql string) int {
		found, err := r.books.list(ctx, sql, r.who.ID)
		require.NoError(t, err)
		return len(found)
	}
	require.Equal(t, moves, count(`SELECT id FROM replicas WHERE client_id = $1`), "decided")
	require.Equal(t, moves, count(`SELECT id FROM replicas WHERE client_id = $1 AND state = 'promoted'`), "promoted")
	require.Equal(t, moves, count(`SELECT replica_id FROM role_changes WHERE client_id = $1`), "changes of roles")
	require.Equal(t, moves, count(`SELECT client_token FROM launches WHERE client_id = $1 AND state = 'launched'`),
		"launches decided")
	require.Equal(t, moves, count(`SELECT client_token FROM launches WHERE client_id = $1`), "launches tried")
	require.Equal(t, raceAgents, count(`SELECT id FROM instances WHERE client_id = $1 AND role = 'primary'`))
	require.Zero(t, count(`SELECT instance_id FROM notices WHERE client_id = $1 AND result = ''`), "undecided notices")
	cloud, err := r.sim.State(ctx)
	require.NoError(t, err)
	ours := 0
	for _, i := range cloud.Instances {
		if i.Tags["spotkeeper:client"] == r.who.ID {
			ours++
		}
	}
	require.Equal(t, moves+raceAgents, ours, "launched, and adopted before")
}

// guardians is what became of all runs.
type guardians struct {
	workflows.GuardianSummary
	completed, continued, running int
	runs                          []*common.WorkflowExecution
}

// lately prints what was seen last.
type lately struct {
	seen *guardians
	by   *racer
}

func (l lately) String() string {
	return fmt.Sprintf("%+v, runs completed %d, continued %d, running %d; %d wakes sent in %d requests",
		l.seen.GuardianSummary,
		l.seen.completed, l.seen.continued, l.seen.running, l.by.witness.wakes.Load(), l.by.wire.wakesSent())
}

// guardians adds up the results of all runs.
func (r *racer) guardians(ctx context.Context) (sum guardians, err error) {
	var page []byte
	for {
		res, err := r.app.Temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Query:         fmt.Sprintf("TaskQueue = %q AND WorkflowType = 'Guardian'", r.queue),
			PageSize:      1000,
			NextPageToken: page,
		})
		if err != nil {
			return sum, err
		}
		for _, e := range res.GetExecutions() {
			sum.runs = append(sum.runs, e.GetExecution())
			switch e.GetStatus() {
			case enums.WORKFLOW_EXECUTION_STATUS_RUNNING:
				sum.running++
			case enums.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW:
				sum.continued++
			case enums.WORKFLOW_EXECUTION_STATUS_COMPLETED:
				sum.completed++
				var one workflows.GuardianSummary
				if err := r.app.Temporal.GetWorkflow(ctx, e.GetExecution().GetWorkflowId(),
					e.GetExecution().GetRunId()).Get(ctx, &one); err != nil {
					return sum, err
				}
				sum.Updates, sum.Wakes, sum.Runs = sum.Updates+one.Updates, sum.Wakes+one.Wakes, sum.Runs+one.Runs
			default:
				return sum, fmt.Errorf("%s ended %s", e.GetExecution().GetWorkflowId(), e.GetStatus())
			}
		}
		if page = res.GetNextPageToken(); len(page) == 0 {
			return sum, nil
		}
	}
}
