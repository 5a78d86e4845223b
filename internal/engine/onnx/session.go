//go:build cgo

package onnx

import (
	"slices"
	"strings"

	ort "github.com/yalue/onnxruntime_go"

	"spotkeeper/internal/engine"
)

// featuresKey is the metadata entry in which a model may name its features,
// separated by commas; when it does, they must be ours.
const featuresKey = "features"

// session is a model that the library has loaded.
type session struct {
	input   string
	outputs []string
	model   *ort.DynamicAdvancedSession
}

// loadSession makes a session of a model, checks its signature and runs it once. Fails
// with onnx.bad_model or engine.other_features.
func loadSession(model []byte) (*session, error) {
	if len(model) == 0 {
		return nil, BadModel.New("the model is empty")
	}
	inputs, outputs, err := ort.GetInputOutputInfoWithONNXData(model)
	if err != nil {
		return nil, BadModel.Wrap(err, "the file is not an ONNX model that can be run")
	}
	s := &session{}
	if err := s.sign(inputs, outputs); err != nil {
		return nil, err
	}
	options, err := ort.NewSessionOptions()
	if err != nil {
		return nil, BadModel.Wrap(err, "no session could be made for the model")
	}
	defer func() { _ = options.Destroy() }()
	// A decision is a small call: one thread beats many.
	if err := options.SetIntraOpNumThreads(1); err != nil {
		return nil, BadModel.Wrap(err, "no session could be made for the model")
	}
	s.model, err = ort.NewDynamicAdvancedSessionWithONNXData(model, []string{s.input}, s.outputs, options)
	if err != nil {
		return nil, BadModel.Wrap(err, "the model cannot be run")
	}
	if err := s.checkMetadata(); err != nil {
		return nil, err
	}
	if err := s.try(); err != nil {
		return nil, err
	}
	return s, nil
}

// sign checks names, types and shapes.
func (s *session) sign(inputs, outputs []ort.InputOutputInfo) error {
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
	s.input = in.Name
	risk := ""
	for _, out := range outputs {
		fits := out.OrtValueType == ort.ONNXTypeTensor && out.DataType == ort.TensorElementDataTypeFloat &&
			(len(out.Dimensions) == 1 || len(out.Dimensions) == 2 && out.Dimensions[1] <= 1)
		if named := out.Name == OutputRisk || len(outputs) == 1; named && fits {
			risk = out.Name
			s.outputs = append([]string{out.Name}, s.outputs...)
		} else if out.Name == OutputPrice && fits {
			s.outputs = append(s.outputs, out.Name)
		}
	}
	if risk == "" {
		return BadModel.New("the model has no output %q, float [n] or [n, 1]", OutputRisk)
	}
	return nil
}

// checkMetadata holds the features a model names against ours.
func (s *session) checkMetadata() error {
	metadata, err := s.model.GetModelMetadata()
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
func (s *session) try() error {
	if _, err := s.run([][]float32{make([]float32, len(engine.FeatureList))}); err != nil {
		return BadModel.New("the model does not answer a trial row: %s", err.Error())
	}
	return nil
}

// run feeds rows to the model and answers what each output says of each row. Fails with
// onnx.bad_model.
func (s *session) run(rows [][]float32) ([][]float32, error) {
	n := len(rows)
	input, err := ort.NewTensor(ort.NewShape(int64(n), int64(len(engine.FeatureList))), slices.Concat(rows...))
	if err != nil {
		return nil, BadModel.Wrap(err, "the model's input could not be made")
	}
	defer func() { _ = input.Destroy() }()
	outputs := make([]ort.Value, len(s.outputs))
	defer func() {
		for _, o := range outputs {
			if o != nil {
				_ = o.Destroy()
			}
		}
	}()
	if err := s.model.Run([]ort.Value{input}, outputs); err != nil {
		return nil, BadModel.Wrap(err, "the model could not be run")
	}
	answers := make([][]float32, len(outputs))
	for i, o := range outputs {
		tensor, ok := o.(*ort.Tensor[float32])
		if !ok || len(tensor.GetData()) != n {
			return nil, BadModel.New("the model's output %s is not one float for each of %d places", s.outputs[i], n)
		}
		answers[i] = slices.Clone(tensor.GetData())
	}
	return answers, nil
}
