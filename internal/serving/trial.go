package serving

import (
	"cmp"
	"context"
	"sync/atomic"
	"time"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/mlmodel"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/engine/backtest"
	"spotkeeper/internal/engine/market"
)

// Trial loads sessions and lets them decide in a back-test, before they decide
// anything else.
type Trial struct {
	Load func(ctx context.Context, s mlmodel.Session) (LoadedEngine, error)
}

var _ activities.SessionTrial = (*Trial)(nil)

// The back-test of a trial is small: it finds engines that fail, are slow or are
// absurd, and no more. What a model is worth is found out in its rollout.
const (
	trialSeed   = 4
	trialSpan   = 48 * time.Hour
	trialAgents = 24
	trialStep   = time.Hour
	trialWithin = 60 * time.Second
	mostFailed  = .05 // share of decisions
	mostInRow   = 5   // decisions that fail before it is given up
	mostDearer  = 1.5 // times what never switching costs
)

// Try loads the session's engine, runs the back-test and unloads it. Fails with
// what is wrong with the files, with mlmodel.refused, and with ctx's error when it
// was called off, which says nothing about the session.
func (t *Trial) Try(ctx context.Context, s mlmodel.Session) (activities.Validation, error) {
	loaded, err := t.Load(ctx, s)
	if err != nil {
		return activities.Validation{}, cmp.Or(ctx.Err(), err)
	}
	defer func() { _ = loaded.Close() }()
	out := activities.Validation{SessionID: s.ID, Runner: loaded.Name(), Version: loaded.Version()}

	asked := ctx
	ctx, cancel := context.WithTimeout(asked, trialWithin)
	defer cancel()
	tried := &tried{Engine: loaded, giveUp: cancel}
	const name = "session"
	report, err := backtest.Run(ctx, backtest.Options{
		Market:   market.Simulate(market.Options{Seed: trialSeed, Span: trialSpan}),
		Agents:   trialAgents,
		Step:     trialStep,
		NoOracle: true,
		Strategies: []backtest.Strategy{backtest.Never(), backtest.With(engine.Rules{Terse: true}),
			{Name: name, Engine: tried}},
	})
	calls, failed := tried.calls.Load(), tried.failed.Load()
	switch why := tried.last.Load(); {
	case asked.Err() != nil:
		return out, asked.Err()
	case failed > 0 && (tried.row.Load() >= mostInRow || float64(failed) > mostFailed*float64(calls)):
		return out, mlmodel.Refused.Wrap(*why, "It failed in %d of %d decisions of the back-test: %s", failed, calls,
			(*why).Error())
	case err != nil && ctx.Err() != nil:
		return out, mlmodel.Refused.Wrap(err, "It decided %d times in %s of the back-test: that is too slow", calls,
			trialWithin)
	case err != nil:
		return out, err
	}
	its, _ := report.Row(name)
	never, _ := report.Row(backtest.Never().Name)
	rules, _ := report.Row(engine.Rules{}.Name())
	out.Decisions, out.Switches, out.Micros = its.Decisions, its.Switches, its.Micros
	out.Total, out.Never, out.Rules = its.Total, never.Total, rules.Total
	if its.Total > mostDearer*never.Total {
		return out, mlmodel.Refused.New("In the back-test it costs $%.2f where never switching costs $%.2f",
			its.Total, never.Total)
	}
	return out, nil
}

// tried counts what an engine under trial answers, and gives up on one that
// fails again and again, because each failure may take seconds.
type tried struct {
	engine.Engine
	calls, failed, row atomic.Int64
	last               atomic.Pointer[error]
	giveUp             context.CancelFunc
}

// Decide implements engine.Engine.
func (t *tried) Decide(ctx context.Context, in engine.Input) (engine.Decision, error) {
	t.calls.Add(1)
	d, err := t.Engine.Decide(ctx, in)
	if err == nil {
		t.row.Store(0)
		return d, nil
	}
	t.failed.Add(1)
	t.last.Store(&err)
	if t.row.Add(1) >= mostInRow {
		t.giveUp()
	}
	return d, err
}
