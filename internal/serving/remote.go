package serving

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/mlmodel"
	"spotkeeper/internal/engine"
)

// Judges is the part of workflows.Client that asks a worker.
type Judges interface {
	Judge(ctx context.Context, in activities.JudgeInput) (*engine.Decision, error)
}

// Remote makes engines that ask a worker, for a process that runs no uploaded code. When
// no worker answers, the rules decide.
type Remote struct {
	Workers Judges
	Now     func() time.Time // nil: time.Now
}

// Load makes an engine of a session without reading its file. Fails with
// engine.no_runner and mlmodel.not_just_one.
func (r *Remote) Load(_ context.Context, s mlmodel.Session) (LoadedEngine, error) {
	file, err := s.Main()
	if err != nil {
		return nil, err
	}
	runner, err := engine.RunnerOf(file.Name)
	if err != nil {
		return nil, err
	}
	now := r.Now
	if now == nil {
		now = time.Now
	}
	return &remote{
		workers: r.Workers,
		now:     now,
		session: s.ID,
		runner:  runner,
		version: engine.VersionOf(file.Digest),
	}, nil
}

// remote asks a worker about one session.
type remote struct {
	workers                  Judges
	now                      func() time.Time
	session, runner, version string
	notUntil                 atomic.Int64 // in Unix nanoseconds: no worker answered a moment ago
}

// notAskedFor is how long no worker is asked after one did not answer: callers do not
// each wait for the same outage.
const notAskedFor = 5 * time.Second

// Name is the kind of the session's runner.
func (e *remote) Name() string { return e.runner }

// Version is the beginning of the file's SHA-256.
func (e *remote) Version() string { return e.version }

// Close does nothing: the worker holds the engine.
func (e *remote) Close() error { return nil }

// Decide asks a worker, or the rules. Fails with engine.unavailable and
// engine.bad_answer when the session's engine does.
func (e *remote) Decide(ctx context.Context, in engine.Input) (engine.Decision, error) {
	if e.now().UnixNano() < e.notUntil.Load() {
		return e.byRules(ctx, in, "no worker has answered a moment ago")
	}
	d, err := e.workers.Judge(ctx, activities.JudgeInput{SessionID: e.session, AgentID: in.Agent.ID, Given: in.Given()})
	switch code := fault.CodeOf(err); {
	case err == nil:
		return *d, nil
	case code == engine.Unavailable || code == engine.BadAnswer:
		return engine.Decision{}, err
	case code != engine.NotLoaded:
		e.notUntil.Store(e.now().Add(notAskedFor).UnixNano())
	}
	return e.byRules(ctx, in, err.Error())
}

func (e *remote) byRules(ctx context.Context, in engine.Input, why string) (engine.Decision, error) {
	rules := engine.Rules{}
	d, err := rules.Decide(ctx, in)
	d.Engine, d.Version = rules.Name(), rules.Version()
	d.Reason = fmt.Sprintf("%s (The rules decided: %s.)", d.Reason, why)
	return d, err
}
