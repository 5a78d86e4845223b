// Package python runs uploaded Python engines and models in a supervised
// subprocess that speaks JSON lines. Nothing uploaded ever runs inside our
// process: the child lives in a sandbox that holds the interpreter alone, with
// limits on memory, CPU, files and processes and a time limit for each call, and
// is killed when it breaks one. Where there is no sandbox it does not run.
package python

import (
	"context"
	_ "embed"
	"log/slog"
	"sync/atomic"
	"time"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/engine"
)

// Ways to fail. A call that fails is engine.unavailable or engine.bad_answer.
var (
	Off       = fault.Define("python.off", fault.Unavailable)    // there is no interpreter that can be run
	BadEngine = fault.Define("python.bad_engine", fault.Invalid) // the file does not load
	// Quarantined means that a file ended its child soon after it was loaded, twice.
	Quarantined = fault.Define("python.quarantined", fault.Unavailable)
)

//go:embed harness.py
var harness string

// Options bounds what a child may use. The zero value of a field means its
// default.
type Options struct {
	Interpreter string        // default python3
	CallTimeout time.Duration // one decision; default 2 s
	LoadTimeout time.Duration // start and load; default 30 s
	Memory      int64         // bytes of address space; default 1 GiB
	CPU         time.Duration // of one child's life; default 10 minutes, then it is replaced
	User        uint32        // to run as when we are root; default 65534
	Unsafe      bool          // run without a sandbox where there is none
	Log         *slog.Logger  // what the uploaded code prints goes here; default: nowhere
}

func (o Options) filled() Options {
	set := func(d *time.Duration, fallback time.Duration) {
		if *d <= 0 {
			*d = fallback
		}
	}
	set(&o.CallTimeout, 2*time.Second)
	set(&o.LoadTimeout, 30*time.Second)
	set(&o.CPU, 10*time.Minute)
	if o.Interpreter == "" {
		o.Interpreter = "python3"
	}
	if o.Memory <= 0 {
		o.Memory = 1 << 30
	}
	if o.User == 0 {
		o.User = 65534
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Engine is one uploaded engine or model and its child.
type Engine struct {
	o       Options
	name    string // of the file; its ending says what it is
	data    []byte
	version string
	decides bool // it has make_decision; else it predicts risks

	turn     chan struct{} // one call at a time; holds the right to touch what follows
	child    *child
	failures int
	started  time.Time // of the child
	deaths   int       // in a row, each soon after the child was started
	unfit    atomic.Pointer[fault.Error]
	notUntil time.Time // a child that keeps dying is not started at once again

	running context.Context //nolint:containedctx // ends with Close; bounds restarts, which outlive calls
	stop    context.CancelFunc
}

// New starts a child and loads a file into it. Fails with python.off, which says
// what is missing, or python.bad_engine, which says what is wrong with the file.
func New(ctx context.Context, o Options, name string, data []byte) (*Engine, error) {
	e := &Engine{o: o.filled(), name: name, data: data, version: digest(data), turn: make(chan struct{}, 1)}
	c, decides, err := e.start(ctx)
	if err != nil {
		return nil, err
	}
	e.running, e.stop = context.WithCancel(context.WithoutCancel(ctx))
	e.child, e.decides, e.started = c, decides, time.Now()
	e.turn <- struct{}{}
	return e, nil
}

// Name is "python".
func (e *Engine) Name() string { return engine.RunnerPython }

// Version is the beginning of the file's SHA-256.
func (e *Engine) Version() string { return e.version }

// Decide asks make_decision, or applies the rules to the model's risks. Fails
// with engine.unavailable or engine.bad_answer.
func (e *Engine) Decide(ctx context.Context, in engine.Input) (engine.Decision, error) {
	if !e.decides {
		return engine.Rules{Forecaster: e}.Decide(ctx, in)
	}
	answer, err := e.call(ctx, question(in))
	if err != nil {
		return engine.Decision{}, err
	}
	return decision(in, answer.Result)
}

// Forecast asks the model for the risk of each place, with the documented
// features. Fails with engine.unavailable or engine.bad_answer.
func (e *Engine) Forecast(ctx context.Context, in engine.Input, places []engine.Place) ([]engine.Forecast, error) {
	flat, width := engine.Features(in, places), len(engine.FeatureList)
	rows := make([][]float32, len(places))
	for i := range rows {
		rows[i] = flat[i*width : (i+1)*width]
	}
	answer, err := e.call(ctx, request{Rows: rows})
	if err != nil {
		return nil, err
	}
	if len(answer.Risks) != len(places) {
		return nil, engine.BadAnswer.New("the Python model answered %d risks for %d places", len(answer.Risks),
			len(places))
	}
	forecasts := make([]engine.Forecast, len(places))
	for i, risk := range answer.Risks {
		if !(risk >= 0 && risk <= 1) {
			return nil, engine.BadAnswer.New(
				"the Python model answered the risk %v; a probability is between 0 and 1", risk)
		}
		forecasts[i] = engine.Forecast{Price: places[i].Pool.Price.USD, Risk: risk}
	}
	return forecasts, nil
}

// Isolation says in words what holds the present child, for the operators'
// page.
func (e *Engine) Isolation() string {
	select {
	case <-e.turn:
		defer func() { e.turn <- struct{}{} }()
	case <-time.After(e.o.CallTimeout):
		return "busy"
	}
	if e.child == nil {
		return "stopped"
	}
	return e.child.isolation
}

// Unfit says why the file is not run any more; nil while it is. Fails with
// python.quarantined.
func (e *Engine) Unfit() error {
	if why := e.unfit.Load(); why != nil {
		return why
	}
	return nil
}

// Close kills the child. It waits for a call in flight.
func (e *Engine) Close() error {
	e.stop()
	<-e.turn
	e.drop()
	e.turn <- struct{}{}
	return nil
}
