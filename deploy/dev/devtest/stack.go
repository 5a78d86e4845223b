package devtest

import (
	"context"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"spotkeeper/deploy/dev/embedded/child"
	"spotkeeper/deploy/dev/embedded/loopback"
	"spotkeeper/deploy/dev/stack"
	"spotkeeper/internal/ec2sim"
	simclient "spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/testkit/scratch"
)

// The parts of a stack, in the order of their start.
const (
	Postgres = "postgres"
	Temporal = "temporal"
	EC2      = "ec2sim"
	Worker   = "worker"
	API      = "api"
)

// bootTime is how long one part may take to become ready on a busy machine.
const bootTime = 2 * time.Minute

// Options change a stack. The zero value is everything, with a cloud
// without delays.
type Options struct {
	// EC2Delays is none, quick or real; the default is none.
	EC2Delays string
	// Environment is added to that of api and worker.
	Environment map[string]string
	// Events has the worker receive what the simulator announces: AWS's events.
	Events bool
	// Without are parts that are not started. They can be later, by Restart.
	Without []string
	// OnDisk keeps the stack's state on the disk, for measurements. Else it is in
	// memory where that has room.
	OnDisk bool
	// Release is a directory with the spotkeeper-api and spotkeeper-worker of another
	// release, which migrate and run first. Beside starts those of the sources.
	Release string
}

// Stack is a running stack. Its addresses stay the same over restarts of its
// parts.
type Stack struct {
	stack.Addresses

	tb      testing.TB
	options Options
	worker  string // the worker's program, which also migrates

	mu     sync.Mutex
	parts  map[string]*program
	beside []string // parts that Beside added
}

// Start builds the programs and starts a stack that is stopped with the test.
// When the test fails, the end of every part's log is shown.
func Start(tb testing.TB, o Options) *Stack {
	tb.Helper()
	compiled, err := build()
	if err != nil {
		tb.Fatal(err)
	}
	if o.EC2Delays == "" {
		o.EC2Delays = "none"
	}
	s := &Stack{tb: tb, options: o, parts: map[string]*program{}, worker: compiled.worker}
	if o.Release != "" {
		compiled.api = filepath.Join(o.Release, "spotkeeper-api")
		compiled.worker = filepath.Join(o.Release, "spotkeeper-worker")
		s.worker = compiled.worker
	}
	s.Dir = openDir(tb, o.OnDisk)
	s.describe(compiled)
	tb.Cleanup(s.end)
	s.boot()
	return s
}

// room is what a stack may come to store.
const room = 2 << 30

// openDir is a temporary directory that the database's user can enter.
func openDir(tb testing.TB, onDisk bool) string {
	tb.Helper()
	const prefix = "spotkeeper-e2e-"
	place := func() (*scratch.Directory, error) { return scratch.InMemory(prefix, room) }
	if onDisk {
		place = func() (*scratch.Directory, error) { return scratch.OnDisk(prefix) }
	}
	dir, err := place()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(dir.Remove)
	return dir.Path
}

// describe fills in addresses and parts. The ports are chosen here, once.
func (s *Stack) describe(compiled programs) {
	s.tb.Helper()
	ports, err := loopback.Free(7)
	if err != nil {
		s.tb.Fatal(err)
	}
	postgres, temporal, ui, ec2, metrics, api, apiMetrics := ports[0], ports[1], ports[2], ports[3], ports[4], ports[5], ports[6]
	s.DatabaseURL = fmt.Sprintf("postgres://spotkeeper@%s/spotkeeper?sslmode=disable", loopback.Addr(postgres))
	s.Temporal, s.TemporalUI, s.Namespace = loopback.Addr(temporal), "http://"+loopback.Addr(ui), "default"
	s.EC2 = "http://" + loopback.Addr(ec2)
	s.WorkerMetrics, s.API, s.APIMetrics = "http://"+loopback.Addr(metrics), "http://"+loopback.Addr(api), "http://"+
		loopback.Addr(apiMetrics)

	if s.options.Events {
		s.EventQueue = s.EC2 + "/" + simclient.DefaultAccount + "/" + ec2sim.EventQueue
	}

	dev := func(name string, args ...string) {
		args = append([]string{name, "--json", "--dir", filepath.Join(s.Dir, "state")}, args...)
		s.parts[name] = &program{
			name:      name,
			path:      compiled.dev,
			args:      args,
			ready:     printed,
			addresses: true,
			logs:      s.Dir,
		}
	}
	dev(Postgres, "--postgres-port", strconv.Itoa(postgres))
	dev(Temporal, "--temporal-port", strconv.Itoa(temporal), "--ui-port", strconv.Itoa(ui))
	dev(EC2, "--ec2-port", strconv.Itoa(ec2), "--ec2-delays", s.options.EC2Delays)
	s.parts[Worker] = &program{
		name: Worker, path: compiled.worker, logs: s.Dir, ready: answers(s.WorkerMetrics + "/ready"),
		env: func() map[string]string { return s.environment("WORKER_METRICS_LISTEN", loopback.Addr(metrics)) },
	}
	s.parts[API] = &program{
		name: API, path: compiled.api, logs: s.Dir, ready: answers(s.API + "/ready"),
		env: func() map[string]string {
			return s.environment("API_LISTEN", loopback.Addr(api), "API_METRICS_LISTEN", loopback.Addr(apiMetrics))
		},
	}
}

// environment is the stack's, with more variables as pairs of name and value.
func (s *Stack) environment(more ...string) map[string]string {
	environment := s.Environment()
	environment["ARTIFACTS_URL"] = filepath.Join(s.Dir, "artifacts")
	for i := 0; i+1 < len(more); i += 2 {
		environment[more[i]] = more[i+1]
	}
	maps.Copy(environment, s.options.Environment)
	return environment
}

// boot starts the dependencies side by side, then migrates, then the product.
func (s *Stack) boot() {
	s.tb.Helper()
	ctx, cancel := context.WithTimeout(s.tb.Context(), bootTime)
	defer cancel()
	dependencies, product := errgroup.Group{}, errgroup.Group{}
	for _, name := range []string{Postgres, Temporal, EC2} {
		s.later(ctx, &dependencies, name)
	}
	err := dependencies.Wait()
	if err == nil && s.wanted(Postgres) && (s.wanted(Worker) || s.wanted(API)) {
		err = s.Migrate(ctx)
	}
	if err == nil {
		for _, name := range []string{Worker, API} {
			s.later(ctx, &product, name)
		}
		err = product.Wait()
	}
	if err != nil {
		s.tb.Fatal(err)
	}
}

func (s *Stack) later(ctx context.Context, group *errgroup.Group, name string) {
	if s.wanted(name) {
		group.Go(func() error { return s.parts[name].start(ctx) })
	}
}

func (s *Stack) wanted(name string) bool {
	for _, without := range s.options.Without {
		if without == name {
			return false
		}
	}
	return true
}

// Migrate brings the schema up to date, as a deployment does before it starts. It goes to
// DatabaseURL whatever the environment of api and worker names, which may be a pooler.
func (s *Stack) Migrate(ctx context.Context) error { return s.migrate(ctx, s.worker) }

// Upgrade is Migrate by the program of the sources, while those of a release run.
func (s *Stack) Upgrade(ctx context.Context) error {
	compiled, err := build() //nolint:contextcheck // once per test process, for all of its tests
	if err != nil {
		return err
	}
	return s.migrate(ctx, compiled.worker)
}

func (s *Stack) migrate(ctx context.Context, program string) error {
	command := exec.CommandContext(ctx, program, "migrate")
	command.Env = command.Environ()
	environment := s.environment("LOG_LEVEL", "warn")
	environment["DATABASE_URL"], environment["DATABASE_POOLER"] = s.DatabaseURL, ""
	for name, value := range environment {
		command.Env = append(command.Env, name+"="+value)
	}
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("migrate: %w: %s", err, out)
	}
	return nil
}

func (s *Stack) end() {
	ctx, cancel := context.WithTimeout(context.Background(), bootTime)
	defer cancel()
	if s.tb.Failed() {
		for name, part := range s.parts {
			s.tb.Logf("the end of the log of %s:\n%s", name, child.Tail(part.stderr(), 15))
		}
	}
	for _, name := range append(s.beside, API, Worker, EC2, Temporal, Postgres) {
		if err := s.parts[name].stop(ctx); err != nil {
			s.tb.Error(err)
		}
	}
}
