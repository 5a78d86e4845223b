//go:build cgo

package onnx

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"strings"
	"sync"

	ort "github.com/yalue/onnxruntime_go"

	"spotkeeper/internal/engine"
)

// featuresKey is the metadata entry in which a model may name its features,
// separated by commas; when it does, they must be ours.
const featuresKey = "features"

// Engine decides by the rules with a model's forecasts.
type Engine struct {
	version string
	input   string
	outputs []string

	use     sync.RWMutex // Close waits for the calls in flight
	session *ort.DynamicAdvancedSession
}

// Load makes an engine of a model and checks its signature: one float input
// [n, features] and the outputs named above, each [n] or [n, 1]. Fails with
// onnx.bad_model or engine.other_features.
func (r *Runtime) Load(ctx context.Context, model []byte) (*Engine, error) {
	if len(model) == 0 {
		return nil, BadModel.New("the model is empty")
	}
	inputs, outputs, err := ort.GetInputOutputInfoWithONNXData(model)
	if err != nil {
		return nil, BadModel.Wrap(err, "the file is not an ONNX model that can be run")
	}
	sum := sha256.Sum256(model)
	e := &Engine{version: hex.EncodeToString(sum[:6])}
	if err := e.sign(inputs, outputs); err != nil {
		return nil, err
	}
	options, err := ort.NewSessionOptions()
	if err != nil {
		return nil, BadModel.Wrap(err, "no session could be made for the model")
	}
	defer func() { _ = options.Destroy() }()
	// Many small calls at once: one thread each beats all threads for one.
	if err := options.SetIntraOpNumThreads(1); err != nil {
		return nil, BadModel.Wrap(err, "no session could be made for the model")
	}
	session, err := ort.NewDynamicAdvancedSessionWithONNXData(model, []string{e.input}, e.outputs, options)
	if err != nil {
		return nil, BadModel.Wrap(err, "the model cannot be run")
	}
	e.session = session
	if err := e.checkMetadata(); err != nil {
		return nil, closeAnd(e, err)
	}
	if err := e.try(ctx); err != nil {
		return nil, closeAnd(e, err)
	}
	return e, nil
}

// sign checks names, types and shapes.
func (e *Engine) sign(inputs, outputs []ort.InputOutputInfo) error {
	want := int64(len(engine.FeatureList))
	if len(inputs) != 1 {
		return BadModel.New("the model has %d inputs; it must have one, float [n, %d]", len(inputs), want)
	}
	in := inputs[0]
	shaped := len(in.Dimensions) == 2 && in.Dimensions[0] < 1 && (in.Dimensions[1] == want || in.Dimensions[1] < 1)
	if in.OrtValueType != ort.ONNXTypeTensor || in.DataType != ort.TensorElementDataTypeFloat || !shaped {
		return BadModel.New("the model's input is %s; it must be float [n, %d], the features %s", in.String(), want,
			strings.Join(engine.FeatureNames(), ", "))
	}
	e.input = in.Name
	risk := ""
	for _, out := range outputs {
		fits := out.OrtValueType == ort.ONNXTypeTensor && out.DataType == ort.TensorElementDataTypeFloat &&
			(len(out.Dimensions) == 1 || len(out.Dimensions) == 2 && out.Dimensions[1] <= 1)
		if named := out.Name == OutputRisk || len(outputs) == 1; named && fits {
			risk = out.Name
			e.outputs = append([]string{out.Name}, e.outputs...)
		} else if out.Name == OutputPrice && fits {
			e.outputs = append(e.outputs, out.Name)
		}
	}
	if risk == "" {
		return BadModel.New("the model has no output %q, float [n] or [n, 1]", OutputRisk)
	}
	return nil
}

// checkMetadata holds the features a model names against ours.
func (e *Engine) checkMetadata() error {
	metadata, err := e.session.GetModelMetadata()
	if err != nil {
		return BadModel.Wrap(err, "the model's metadata cannot be read")
	}
	defer func() { _ = metadata.Destroy() }()
	value, named, err := metadata.LookupCustomMetadataMap(featuresKey)
	if err != nil || !named {
		return nil // a model need not name its features
	}
	names := strings.Split(value, ",")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return engine.CheckFeatures(names)
}

// try runs the model once on a plain row, so that one which loads and cannot
// run is found before an agent relies on it.
func (e *Engine) try(ctx context.Context) error {
	row := make([]float32, len(engine.FeatureList))
	if _, err := e.run(ctx, row, 1); err != nil {
		return BadModel.Wrap(err, "the model does not answer a trial row")
	}
	return nil
}

// Name is "onnx".
func (e *Engine) Name() string { return "onnx" }

// Version is the beginning of the model's SHA-256.
func (e *Engine) Version() string { return e.version }

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
	answers, err := e.run(ctx, engine.Features(in, places), len(places))
	if err != nil {
		return nil, err
	}
	forecasts := make([]engine.Forecast, len(places))
	for i := range forecasts {
		risk := float64(answers[0][i])
		if math.IsNaN(risk) || risk < -.001 || risk > 1.001 {
			return nil, engine.BadAnswer.New(
				"the model answered the risk %v for %s; a probability is between 0 and 1", risk, places[i].Pool.ID)
		}
		forecasts[i] = engine.Forecast{Risk: min(max(risk, 0), 1), Price: places[i].Pool.Price.USD}
		if len(answers) > 1 {
			ratio := float64(answers[1][i])
			if math.IsNaN(ratio) || ratio <= 0 || ratio > 10 {
				return nil, engine.BadAnswer.New("the model answered the price ratio %v for %s", ratio,
					places[i].Pool.ID)
			}
			forecasts[i].Price = ratio * in.OnDemand.USD
		}
	}
	return forecasts, nil
}

// run feeds rows to the session. A deadline ends the run inside the library.
func (e *Engine) run(ctx context.Context, rows []float32, n int) ([][]float32, error) {
	e.use.RLock()
	defer e.use.RUnlock()
	if e.session == nil {
		return nil, engine.Unavailable.New("the model was unloaded")
	}
	if err := ctx.Err(); err != nil {
		return nil, engine.Unavailable.Wrap(err, "there was no time left to run the model")
	}
	input, err := ort.NewTensor(ort.NewShape(int64(n), int64(len(rows)/n)), rows)
	if err != nil {
		return nil, engine.Unavailable.Wrap(err, "the model's input could not be made")
	}
	defer func() { _ = input.Destroy() }()
	outputs := make([]ort.Value, len(e.outputs))
	defer func() {
		for _, o := range outputs {
			if o != nil {
				_ = o.Destroy()
			}
		}
	}()
	if err := e.runUntil(ctx, []ort.Value{input}, outputs); err != nil {
		return nil, engine.Unavailable.Wrap(err, "the model could not be run")
	}
	answers := make([][]float32, len(outputs))
	for i, o := range outputs {
		tensor, ok := o.(*ort.Tensor[float32])
		if !ok || len(tensor.GetData()) != n {
			return nil, engine.BadAnswer.New("the model's output %s is not one float for each of %d places",
				e.outputs[i], n)
		}
		answers[i] = append([]float32(nil), tensor.GetData()...)
	}
	return answers, nil
}

func (e *Engine) runUntil(ctx context.Context, inputs, outputs []ort.Value) error {
	if ctx.Done() == nil {
		return e.session.Run(inputs, outputs)
	}
	options, err := ort.NewRunOptions()
	if err != nil {
		return fmt.Errorf("run options: %w", err)
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { defer close(ended); _ = options.Terminate() })
	err = e.session.RunWithOptions(inputs, outputs, options)
	if !stop() {
		<-ended // Terminate is at work on the options
	}
	_ = options.Destroy()
	return err
}

// Close unloads the model once no call is in flight. Later calls fail with
// engine.unavailable.
func (e *Engine) Close() error {
	e.use.Lock()
	defer e.use.Unlock()
	if e.session == nil {
		return nil
	}
	session := e.session
	e.session = nil
	if err := session.Destroy(); err != nil {
		return engine.Unavailable.Wrap(err, "the model could not be unloaded")
	}
	return nil
}

func closeAnd(e *Engine, err error) error {
	_ = e.Close()
	return err
}
