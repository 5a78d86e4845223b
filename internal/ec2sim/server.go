package ec2sim

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"spotkeeper/internal/ec2sim/client"
)

// Options configure a Server. The zero value is a cloud with seed 0, without
// delays, limits or interruptions, on the machine's clock.
type Options struct {
	// Seed decides the market and, with Hazard, the interruptions.
	Seed int64
	// Account is whose instances a caller sees whose access key names no account.
	Account string
	// Region is where a call goes that is not signed for one.
	Region string
	// Delays are the first delays; AWSDelays are realistic ones.
	Delays client.Delays
	// Hazard interrupts spot instances by themselves, see the type Hazard.
	Hazard float64
	// PriceStep is the grain of the market; a price changes about every twelfth step. Zero means five minutes.
	PriceStep time.Duration
	// PageSize caps every page, so that small fleets page too. Zero leaves EC2's limits.
	PageSize int
	// Retention forgets instances that ended longer ago, tokens included. Zero keeps them for ever.
	Retention time.Duration
	// Now is the real clock under the virtual one.
	Now func() time.Time
	// Logger gets launches, ends and signals at debug level, trouble with the state file as errors.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Account == "" {
		o.Account = client.DefaultAccount
	}
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	if o.PriceStep <= 0 {
		o.PriceStep = defaultPriceStep
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Server is the simulated cloud, as an http.Handler. It owns no goroutine: what
// happens by itself is computed from the virtual clock when it is read.
type Server struct {
	opts    Options
	control http.Handler
	closing chan struct{} // closed by Close: ends the waits of delayed calls
	secret  []byte        // that the secret keys of instances' roles are made of

	mu     sync.Mutex
	world  *world
	file   *stateFile // nil without durable state
	closed bool

	queue     queue
	announced map[string]announced // by instance; nil until the queue is received from
	lookedAt  time.Time            // when instances were last looked at for events
	silent    bool
}

// New returns a cloud in memory. Open returns one that survives a restart.
func New(o Options) *Server {
	o = o.withDefaults()
	s := &Server{opts: o, closing: make(chan struct{}), world: newWorld(o), secret: []byte(rand.Text())}
	s.control = s.routes()
	return s
}

// Close ends calls that wait and writes durable state down. It may be called twice.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	close(s.closing)
	if s.file == nil {
		return nil
	}
	if err := s.file.compact(s.world); err != nil {
		_ = s.file.close() // the journal still has everything
		return err
	}
	return s.file.close()
}

// call is one request of the EC2 or the STS API.
type call struct {
	caller
	opts   Options
	world  *world
	form   form
	action string
	now    time.Time
	fault  *client.Fault // what was injected into this call, if anything
}

type handler func(*call) (replier, error)

// ServeHTTP answers EC2 and STS (query protocol), the price list (JSON 1.1) and, under /_sim/, the control API.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	switch {
	case strings.HasPrefix(r.URL.Path, "/_sim/"):
		s.control.ServeHTTP(w, r)
	case r.Header.Get("X-Amz-Target") != "":
		s.serveJSON(w, r)
	default:
		s.serveQuery(w, r)
	}
}

func (s *Server) serveQuery(w http.ResponseWriter, r *http.Request) {
	id := requestID()
	w.Header().Set("X-Amzn-Requestid", id)
	who, err := s.identify(r)
	if err == nil {
		if bad := r.ParseForm(); bad != nil {
			err = fail("MalformedQueryString", "The request body cannot be read: %v", bad)
		}
	}
	service, namespace, actions := "ec2", ec2Namespace, ec2Actions
	if who.service == "sts" || r.Form.Get("Version") == stsVersion {
		service, namespace, actions = "sts", stsNamespace, stsActions
	}
	c := &call{caller: who, opts: s.opts, form: form(r.Form), action: r.Form.Get("Action")}
	var answer replier
	if err == nil {
		do, ok := actions[c.action]
		if !ok {
			do = func(*call) (replier, error) {
				return nil, fail("InvalidAction", "The action %s is not valid for this web service.", c.action)
			}
		}
		answer, err = s.perform(r.Context(), c, do)
	}
	if errors.Is(err, errDropped) {
		panic(http.ErrAbortHandler) // net/http's own way to drop a connection without an answer
	}
	if err != nil {
		var e *apiError
		if !errors.As(err, &e) {
			e = &apiError{"InternalError", err.Error(), http.StatusInternalServerError}
		}
		writeFault(w, service, id, e)
		return
	}
	answer.setRequestID(id)
	writeXML(w, http.StatusOK, root(c.action+"Response", namespace), answer)
}

// errDropped ends a call whose answer is to be lost.
var errDropped = errors.New("the answer is dropped")

// perform carries a call through throttles, faults and delays to its handler.
func (s *Server) perform(ctx context.Context, c *call, do handler) (replier, error) {
	wait, err := s.admit(c)
	if err != nil {
		return nil, s.note(err)
	}
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done(): // the caller hung up before the call was executed
			return nil, errDropped
		case <-s.closing:
			return nil, fail("ServiceUnavailable", "The simulator is stopping.")
		}
	}
	mode := ""
	if c.fault != nil {
		mode = c.fault.Mode
	}
	if mode == client.FaultError {
		return nil, s.note(failureOf(c.fault))
	}
	answer, err := s.execute(c, do)
	switch {
	case mode == client.FaultLost:
		return nil, s.note(errDropped)
	case err == nil && mode == client.FaultAfter:
		err = failureOf(c.fault)
	}
	return answer, s.note(err)
}

// execute runs the handler alone in the world and makes its effect durable before the answer.
func (s *Server) execute(c *call, do handler) (replier, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.world, c.now = s.world, s.world.now()
	if err := c.refuseByPolicy(); err != nil {
		return nil, err
	}
	if dry, err := c.form.flag("DryRun"); err != nil || dry {
		if err == nil && c.action == "RunInstances" {
			if _, _, err = c.expandTemplate(); err == nil {
				_, err = c.readOrder()
			}
		}
		if err == nil {
			err = fail("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
		}
		return nil, err
	}
	c.world.relaunch(c.now)
	answer, err := do(c)
	if lost := s.flush(); lost != nil {
		return nil, lost
	}
	return answer, err
}

// admit counts the call, takes its fault and says how long it has to wait.
func (s *Server) admit(c *call) (time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.world.now()
	s.world.count().Calls[c.action]++
	if err := s.world.refuseRevoked(c.caller); err != nil {
		return 0, err
	}
	if err := s.world.refuseClosed(c.caller); err != nil {
		return 0, err
	}
	if err := s.world.throttle(c, now); err != nil {
		return 0, err
	}
	c.fault = s.world.takeFault(c)
	wait := s.world.set().Delays.API
	if c.fault != nil {
		wait += c.fault.LatencySeconds
	}
	return seconds(wait), nil
}

// note counts a refusal and returns it.
func (s *Server) note(err error) error {
	var e *apiError
	refused, dropped := errors.As(err, &e), errors.Is(err, errDropped)
	if !refused && !dropped {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if dropped {
		s.world.count().Dropped++
	} else {
		s.world.count().Errors[e.Code]++
	}
	return err
}

func requestID() string {
	id := suffix(32)
	return id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:]
}

// suffix is n random hexadecimal digits, the end of an id.
func suffix(digits int) string {
	raw := make([]byte, (digits+1)/2)
	_, _ = rand.Read(raw) // never fails
	return hex.EncodeToString(raw)[:digits]
}
