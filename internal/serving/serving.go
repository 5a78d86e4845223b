package serving

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"spotkeeper/internal/domain/mlmodel"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/engine/host"
)

// Source says what should serve. postgres.Models implements it.
type Source interface {
	Serving(ctx context.Context) (mlmodel.Serving, error)
}

// Serving holds the engines of one process and follows the database.
// It asks every two seconds, so that a swap reaches every process within five
// without a restart. An engine that cannot be loaded is reported and tried again,
// while the process continues with the one it has. Fill in the exported fields, let Run own
// it, and ask EngineFor for each decision.
type Serving struct {
	Source Source
	Load   func(ctx context.Context, s mlmodel.Session) (LoadedEngine, error)
	Log    *slog.Logger
	Every  time.Duration    // between two looks; 0: 2 s
	Now    func() time.Time // nil: time.Now

	current atomic.Pointer[serves]
	engines map[string]*held // by session; only Run's goroutine touches it
}

const (
	lookEvery  = 2 * time.Second
	lookWithin = 1500 * time.Millisecond
	loadWithin = 45 * time.Second
	closeAfter = 30 * time.Second // no decision takes that long
	tryAgain   = 15 * time.Second // after a load that failed
	mostDeaths = 2                // of a process that loads a session, then it is in quarantine
	quarantine = 24 * time.Hour
)

// serves is what decisions are made by at a moment. It is never changed, only
// replaced.
type serves struct {
	live        engine.Engine
	liveID      string            // its session; empty: the built-in rules
	sessions    []mlmodel.Session // that the database calls live
	candidate   engine.Engine     // nil: none, or it could not be loaded
	candidateID string
	phase       mlmodel.Phase
	percent     int
	problem     error // why this is not the engine in the database
}

// held is an engine that is loaded, or failed to.
type held struct {
	engine   LoadedEngine
	problem  error
	notUntil time.Time // of the next attempt after a failure
	deaths   int       // of its process while it was loaded, in a row
	unused   time.Time // since when; zero: in use
}

func (s *Serving) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

func (s *Serving) serves() *serves {
	if c := s.current.Load(); c != nil {
		return c
	}
	return &serves{live: engine.Rules{}}
}

// EngineFor is the engine that decides for an agent: the live one, or that of a
// rollout when the agent is in its canary. Use it at once; it may be unloaded half
// a minute after it was replaced.
func (s *Serving) EngineFor(agentID string) engine.Engine {
	c := s.serves()
	if c.phase == mlmodel.Canary && c.candidate != nil && mlmodel.InCanary(c.candidateID, agentID, c.percent) {
		return c.candidate
	}
	return c.live
}

// ShadowFor is the engine whose decisions about an agent are recorded beside the
// live ones; nil when no rollout is in its shadow.
func (s *Serving) ShadowFor(string) engine.Engine {
	if c := s.serves(); c.phase == mlmodel.Shadow {
		return c.candidate
	}
	return nil
}

// EngineOf is the engine of a session that this process decides with, live or in a
// rollout; nil for another.
func (s *Serving) EngineOf(sessionID string) engine.Engine {
	switch c := s.serves(); sessionID {
	case "":
		return nil
	case c.liveID:
		return c.live
	case c.candidateID:
		return c.candidate
	default:
		return nil
	}
}

// Status is what a process serves.
type Status struct {
	Engine   string            // the runner's kind
	Version  string            // of the live engine
	Session  string            // it comes from; empty: the built-in rules
	Sessions []mlmodel.Session // that should be live
}

// Status says what this process serves.
func (s *Serving) Status() Status {
	c := s.serves()
	return Status{Engine: c.live.Name(), Version: c.live.Version(), Session: c.liveID, Sessions: c.sessions}
}

// Check says why this process does not serve what it should. Fails with
// mlmodel.not_loaded.
func (s *Serving) Check(context.Context) error { return s.serves().problem }

// Run follows the database until ctx ends, and unloads everything then.
func (s *Serving) Run(ctx context.Context) error {
	every := s.Every
	if every <= 0 {
		every = lookEvery
	}
	defer s.closeAll()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		s.Look(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// Look asks once what should serve, and makes it so. Run calls it; a test may
// instead of Run.
func (s *Serving) Look(ctx context.Context) {
	asking, cancel := context.WithTimeout(ctx, lookWithin)
	want, err := s.Source.Serving(asking)
	cancel()
	if err != nil {
		if ctx.Err() == nil {
			s.Log.WarnContext(ctx, "what should serve is not known: serving on", "error", err)
		}
		return
	}
	was := s.serves()
	is := &serves{live: was.live, liveID: was.liveID, sessions: want.Live, phase: want.Phase, percent: want.Percent}
	decider := mlmodel.Decider(want.Live)
	if decider == nil {
		is.live, is.liveID = engine.Rules{}, ""
	} else if e, err := s.obtain(ctx, *decider); err != nil {
		is.problem = mlmodel.LoadFailed.Wrap(err, "the live session %s cannot be loaded here (%s); %s %s serves on",
			decider.ID, err.Error(), was.live.Name(), was.live.Version())
	} else if why := unfit(e); why != nil {
		is.live, is.liveID = engine.Rules{}, ""
		is.problem = mlmodel.LoadFailed.Wrap(why, "the live session %s is not run here any more (%s)", decider.ID,
			why.Error())
	} else {
		is.live, is.liveID = e, decider.ID
	}
	if want.Candidate != nil {
		e, err := s.obtain(ctx, *want.Candidate)
		if err == nil {
			err = unfit(e)
		}
		if err != nil {
			is.problem = errors.Join(is.problem,
				mlmodel.LoadFailed.Wrap(
					err,
					"the session %s of the rollout cannot be loaded here (%s); the live engine decides for its agents",
					want.Candidate.ID,
					err.Error(),
				))
		} else {
			is.candidate, is.candidateID = e, want.Candidate.ID
		}
	}
	s.current.Store(is)
	s.logChange(ctx, was, is)
	s.release(is)
}

// unfit says why an engine is to decide no longer, if it gives a reason.
func unfit(e engine.Engine) error {
	if judged, ok := e.(interface{ Unfit() error }); ok {
		return judged.Unfit()
	}
	return nil
}

func (s *Serving) logChange(ctx context.Context, was, is *serves) {
	if was.liveID != is.liveID || was.live.Version() != is.live.Version() {
		s.Log.InfoContext(ctx, "another engine decides", "engine", is.live.Name(),
			"engine_version", is.live.Version(), "session_id", is.liveID)
	}
	if was.candidateID != is.candidateID || was.phase != is.phase || was.percent != is.percent {
		s.Log.InfoContext(ctx, "the rollout moved", "session_id", is.candidateID, "phase", string(is.phase),
			"percent", is.percent)
	}
	if is.problem != nil && fmt.Sprint(was.problem) != fmt.Sprint(is.problem) {
		s.Log.ErrorContext(ctx, "this process does not serve what it should", "error", is.problem)
	}
}

// obtain returns a session's engine, loading it at first sight. One that failed
// is tried again after a while: the disk may come back.
func (s *Serving) obtain(ctx context.Context, session mlmodel.Session) (engine.Engine, error) {
	if s.engines == nil {
		s.engines = map[string]*held{}
	}
	h, known := s.engines[session.ID]
	if known && (h.problem == nil || s.now().Before(h.notUntil)) {
		h.unused = time.Time{}
		return h.engine, h.problem
	}
	loading, cancel := context.WithTimeout(ctx, loadWithin)
	defer cancel()
	e, err := s.Load(loading, session)
	next := &held{engine: e, problem: err}
	if err != nil {
		next.engine, next.notUntil = nil, s.now().Add(tryAgain)
	}
	if errors.Is(err, host.ErrDied) {
		next.deaths = 1
		if known {
			next.deaths += h.deaths
		}
		if next.deaths >= mostDeaths {
			next.notUntil = s.now().Add(quarantine)
			next.problem = host.Quarantined.Wrap(err, "the session is in quarantine: it ended its process %d times while it was "+
				"loaded. It is tried again tomorrow, or by another process that starts", next.deaths)
		}
	}
	s.engines[session.ID] = next
	return next.engine, next.problem
}

// release unloads what nothing has used for a while. A decision that was begun
// with it has ended by then.
func (s *Serving) release(is *serves) {
	for id, h := range s.engines {
		if id == is.liveID || id == is.candidateID {
			continue
		}
		switch {
		case h.engine == nil:
			if s.now().After(h.notUntil.Add(closeAfter)) {
				delete(s.engines, id)
			}
		case h.unused.IsZero():
			h.unused = s.now()
		case s.now().Sub(h.unused) >= closeAfter:
			if err := h.engine.Close(); err != nil {
				s.Log.Warn("an engine was not unloaded", "session_id", id, "error", err)
			}
			delete(s.engines, id)
		}
	}
}

func (s *Serving) closeAll() {
	for _, h := range s.engines {
		if h.engine != nil {
			_ = h.engine.Close()
		}
	}
	s.engines = nil
}
