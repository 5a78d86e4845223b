// Package python runs uploaded Python engines and models in a supervised subprocess, a
// host (package host), that holds the interpreter alone.
package python

import (
	"context"
	_ "embed"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/engine/host"
)

// Ways to fail. A call that fails is engine.unavailable or engine.bad_answer.
var (
	Off       = fault.Define("python.off", fault.Unavailable)    // there is no interpreter that can be run
	BadEngine = fault.Define("python.bad_engine", fault.Invalid) // the file does not load
)

//go:embed harness.py
var harness string

// Options bounds what a child may use; Memory is of address space.
type Options struct {
	host.Options
	Interpreter string // default python3
}

// Engine is one uploaded engine or model and its host.
type Engine struct {
	*host.Host
	decides bool // it has make_decision; else it predicts risks
}

// New starts a child and loads a file into it. Fails with python.off, which says
// what is missing, or python.bad_engine, which says what is wrong with the file.
func New(ctx context.Context, o Options, name string, data []byte) (*Engine, error) {
	if o.Interpreter == "" {
		o.Interpreter = "python3"
	}
	h, loaded, err := host.New(ctx, kind(o.Interpreter), o.Options, name, data)
	if err != nil {
		return nil, err
	}
	return &Engine{Host: h, decides: loaded.Decides}, nil
}

// Name is "python".
func (e *Engine) Name() string { return engine.RunnerPython }

// Decide asks make_decision, or applies the rules to the model's risks. Fails
// with engine.unavailable or engine.bad_answer.
func (e *Engine) Decide(ctx context.Context, in engine.Input) (engine.Decision, error) {
	if !e.decides {
		return engine.Rules{Forecaster: e}.Decide(ctx, in)
	}
	answer, err := e.Call(ctx, question(in))
	if err != nil {
		return engine.Decision{}, err
	}
	return decision(in, answer.Result)
}

// Forecast asks the model for the risk of each place, with the documented
// features. Fails with engine.unavailable or engine.bad_answer.
func (e *Engine) Forecast(ctx context.Context, in engine.Input, places []engine.Place) ([]engine.Forecast, error) {
	answer, err := e.Call(ctx, host.Request{Rows: engine.FeatureRows(in, places)})
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
