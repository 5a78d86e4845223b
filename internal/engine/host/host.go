// Package host runs an uploaded Python engine or ONNX model in a supervised process and
// exchanges JSON lines with it. Uploaded code never runs inside our process. The child runs
// in a sandbox, with limits on memory, CPU, files and processes and a time limit for each
// call, and is killed when it breaks one. Without a sandbox it does not run.
package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"os/exec"
	"sync/atomic"
	"time"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/engine"
)

// Quarantined means that a file ended its process soon after it was loaded, twice.
var Quarantined = fault.Define("engine.quarantined", fault.Unavailable)

// ErrDied is part of the error of a file whose process ended while it was loaded.
var ErrDied = errors.New("the process ended by itself")

// Options bounds what a child may use. The zero value of a field means its default.
type Options struct {
	CallTimeout time.Duration // one call; default 2 s
	LoadTimeout time.Duration // start and load; default 30 s
	Memory      int64         // bytes; default 1 GiB
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

// Kind is the sort of model that a host runs.
type Kind struct {
	Name    string       // python or onnx
	What    string       // it is, in sentences
	Off     fault.Code   // nothing here runs it
	Bad     fault.Code   // the file does not load
	Answers []fault.Code // that the child itself may give as the reason
	// Ways lists how the program may be held, the strictest first. Fails with Off.
	Ways func(ctx context.Context, o Options) ([]Way, error)
}

// Way is one way to start the program and to hold it.
type Way struct {
	Words   string // for operators
	Command func() (*exec.Cmd, error)
	Start   func(*exec.Cmd) error
}

// Unsafe is the way without a sandbox, for where the operator accepts it.
func Unsafe(o Options, cmd *exec.Cmd) Way {
	return Way{
		Words: "unsafe: memory and CPU limits only; our files and the network are reachable",
		Command: func() (*exec.Cmd, error) {
			cmd.Dir, cmd.SysProcAttr = "/", unsafeAttributes(o)
			return cmd, nil
		},
		Start: func(cmd *exec.Cmd) error { return cmd.Start() },
	}
}

// Request is one line to the child: a file to load, rows to predict, or the three
// arguments of make_decision under the names the deployed engines know.
type Request struct {
	ID      int         `json:"id"`
	Load    string      `json:"load,omitempty"`
	Data    []byte      `json:"data,omitempty"`
	Rows    [][]float32 `json:"rows,omitempty"`
	Agent   any         `json:"agent_data,omitempty"`
	Pricing any         `json:"pricing_data,omitempty"`
	Market  any         `json:"market_data,omitempty"`
}

// Answer is one line from the child.
type Answer struct {
	ID      int             `json:"id"`
	Error   string          `json:"error"`
	Code    fault.Code      `json:"code"` // of the error; one of Kind.Answers
	Decides bool            `json:"decides"`
	Risks   []float64       `json:"risks"`
	Ratios  []float64       `json:"ratios"` // prices as a share of on-demand
	Result  json.RawMessage `json:"result"`
}

// parse reads an answer. Fails with engine.bad_answer.
func parse(what string, id int, data []byte) (Answer, error) {
	var a Answer
	if err := json.Unmarshal(data, &a); err != nil || a.ID != id {
		return Answer{}, engine.BadAnswer.New("the %s wrote something that is not an answer: %.80q", what, data)
	}
	return a, nil
}

// Host is one uploaded file and its child.
type Host struct {
	kind    Kind
	o       Options
	name    string // of the file; its ending says what it is
	data    []byte
	version string

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

// New starts a child and loads a file into it; the answer is what the child says of the
// file. Fails with the kind's Off, which says what is missing, or its Bad, which says what
// is wrong with the file; with ErrDied in it when the file ended its process.
func New(ctx context.Context, k Kind, o Options, name string, data []byte) (*Host, Answer, error) {
	sum := sha256.Sum256(data)
	h := &Host{
		kind:    k,
		o:       o.filled(),
		name:    name,
		data:    data,
		version: engine.VersionOf(hex.EncodeToString(sum[:])),
		turn:    make(chan struct{}, 1),
	}
	c, loaded, err := h.start(ctx)
	if err != nil {
		return nil, loaded, err
	}
	h.running, h.stop = context.WithCancel(context.WithoutCancel(ctx))
	h.child, h.started = c, time.Now()
	h.turn <- struct{}{}
	return h, loaded, nil
}

// Version is the beginning of the file's SHA-256.
func (h *Host) Version() string { return h.version }

// Isolation says in words what holds the present child, for the operators' page.
func (h *Host) Isolation() string {
	select {
	case <-h.turn:
		defer func() { h.turn <- struct{}{} }()
	case <-time.After(h.o.CallTimeout):
		return "busy"
	}
	if h.child == nil {
		return "stopped"
	}
	return h.child.isolation
}

// Unfit says why the file is no longer run; nil while it is. Fails with
// engine.quarantined.
func (h *Host) Unfit() error {
	if why := h.unfit.Load(); why != nil {
		return why
	}
	return nil
}

// Close kills the child. It waits for a call in flight.
func (h *Host) Close() error {
	h.stop()
	<-h.turn
	h.drop()
	h.turn <- struct{}{}
	return nil
}
