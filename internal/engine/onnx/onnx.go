// Package onnx runs models in the ONNX format through ONNX Runtime, a shared
// library beside the binary. It forecasts the day ahead for each place; the
// rules of package engine act on that, limits and all. Without the library the
// package says "onnx off" and nothing else in the program changes.
//
// The library parses files that were uploaded, so it is loaded by a host (package host)
// and never by our process. The host is this binary, started under another name: a
// binary that imports this package can be one. The library is called through cgo. A
// program that is built without cgo, which is one file without any library, has no ONNX
// and says so.
package onnx

import (
	"context"
	"math"
	"os"
	"os/exec"
	"strconv"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/engine/host"
	"spotkeeper/internal/engine/sandbox"
)

// Ways to fail. A call that fails is engine.unavailable or engine.bad_answer.
var (
	Off      = fault.Define("onnx.off", fault.Unavailable)   // there is no library to run models with
	BadModel = fault.Define("onnx.bad_model", fault.Invalid) // not ONNX, or not the signature we feed
)

// The outputs a model may have. One output of whatever name is the risk.
const (
	OutputRisk  = "risk"        // probability of an interruption within a day, 0..1
	OutputPrice = "price_ratio" // mean price of the coming day as a share of on-demand; optional
)

// Check says why no model can be run here: there is no library at the path, or this
// binary has no ONNX. It loads nothing. Fails with onnx.off.
func Check(library string) error {
	if !built {
		return Off.New("onnx off: this program was built without ONNX; the images with -onnx at the end of their tag have it")
	}
	if library == "" {
		return Off.New("onnx off: no library is configured (ONNXRUNTIME_LIB); `make onnxruntime` fetches one")
	}
	if _, err := os.Stat(library); err != nil {
		return Off.Wrap(err, "onnx off: there is no library at %s; `make onnxruntime` fetches one", library)
	}
	return nil
}

// Engine decides by the rules with a model's forecasts.
type Engine struct{ *host.Host }

// New starts a host and loads a model into it, which checks the model's signature: one
// float input [n, features] and the outputs named above, each [n] or [n, 1]. Fails with
// onnx.off, onnx.bad_model or engine.other_features.
func New(ctx context.Context, o host.Options, library, name string, model []byte) (*Engine, error) {
	if err := Check(library); err != nil {
		return nil, err
	}
	h, _, err := host.New(ctx, kind(library), o, name, model)
	if err != nil {
		return nil, err
	}
	return &Engine{h}, nil
}

// hostName is the program name under which the binary runs as a host of models.
const hostName = "spotkeeper-onnx-host"

// environment is all of a host's. What the runtime prints of a crash is one line.
var environment = []string{"PATH=/usr/bin:/bin", "HOME=/nonexistent", "LANG=C.UTF-8", "GOTRACEBACK=none", "GOMAXPROCS=2"}

// kind is what a host of models runs.
func kind(library string) host.Kind {
	ways := func(_ context.Context, o host.Options) ([]host.Way, error) {
		args := []string{library, strconv.FormatInt(o.Memory, 10), strconv.Itoa(int(o.CPU.Seconds()))}
		program := sandbox.Program{Name: hostName, Args: args, Env: environment, User: o.User,
			Visible: append([]string{library}, sandbox.Libraries...)}
		found := []host.Way{{
			Words:   sandbox.Words() + ", memory and CPU limits",
			Command: func() (*exec.Cmd, error) { return sandbox.Command(program) },
			Start:   sandbox.Start,
		}}
		if o.Unsafe {
			found = append(found, host.Unsafe(o, &exec.Cmd{
				Path: "/proc/self/exe", Args: append([]string{hostName}, args...), Env: environment,
			}))
		}
		return found, nil
	}
	return host.Kind{Name: engine.RunnerONNX, What: "ONNX model", Off: Off, Bad: BadModel,
		Answers: []fault.Code{Off, BadModel, engine.OtherFeatures}, Ways: ways}
}

// Name is "onnx".
func (e *Engine) Name() string { return engine.RunnerONNX }

// Decide applies the rules to the model's forecasts. Fails with
// engine.unavailable or engine.bad_answer.
func (e *Engine) Decide(ctx context.Context, in engine.Input) (engine.Decision, error) {
	return engine.Rules{Forecaster: e}.Decide(ctx, in)
}

// Forecast runs the model once over all places. Fails with engine.unavailable
// or engine.bad_answer.
func (e *Engine) Forecast(ctx context.Context, in engine.Input, places []engine.Place) ([]engine.Forecast, error) {
	if len(places) == 0 {
		return nil, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, engine.Unavailable.Wrap(err, "there was no time left to run the model")
	}
	answer, err := e.Call(ctx, host.Request{Rows: engine.FeatureRows(in, places)})
	if err != nil {
		return nil, err
	}
	priced := len(answer.Ratios) > 0
	if len(answer.Risks) != len(places) || priced && len(answer.Ratios) != len(places) {
		return nil, engine.BadAnswer.New("the ONNX model answered %d risks for %d places", len(answer.Risks), len(places))
	}
	forecasts := make([]engine.Forecast, len(places))
	for i, risk := range answer.Risks {
		if math.IsNaN(risk) || risk < -.001 || risk > 1.001 {
			return nil, engine.BadAnswer.New(
				"the model answered the risk %v for %s; a probability is between 0 and 1", risk, places[i].Pool.ID)
		}
		forecasts[i] = engine.Forecast{Risk: min(max(risk, 0), 1), Price: places[i].Pool.Price.USD}
		if !priced {
			continue
		}
		ratio := answer.Ratios[i]
		if math.IsNaN(ratio) || ratio <= 0 || ratio > 10 {
			return nil, engine.BadAnswer.New("the model answered the price ratio %v for %s", ratio, places[i].Pool.ID)
		}
		forecasts[i].Price = ratio * in.OnDemand.USD
	}
	return forecasts, nil
}
