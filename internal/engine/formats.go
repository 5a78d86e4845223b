package engine

import (
	"path"
	"slices"
	"strings"

	"spotkeeper/internal/domain/fault"
)

// NoRunner is a file that nothing here runs.
var NoRunner = fault.Define("engine.no_runner", fault.Invalid)

// Names of the runners that run uploaded files.
const (
	RunnerONNX   = "onnx"
	RunnerPython = "python"
)

// RunnerOf says which runner runs a file, by its name. Formats that are stored
// and never run fail with engine.no_runner, in a sentence that says what to use
// instead.
func RunnerOf(filename string) (string, error) {
	switch ext := strings.ToLower(path.Ext(filename)); {
	case ext == ".onnx":
		return RunnerONNX, nil
	case slices.Contains([]string{".py", ".pkl", ".joblib"}, ext):
		return RunnerPython, nil
	case slices.Contains([]string{".h5", ".pb", ".pth", ".pt"}, ext):
		return "", NoRunner.New(
			"%s is stored but not run: export the model to ONNX (.onnx) with the documented features, or wrap it in a .py engine",
			path.Base(filename),
		)
	default:
		return "", NoRunner.New("%s is of a type that is not run: use .onnx, .py, .pkl or .joblib", path.Base(filename))
	}
}
