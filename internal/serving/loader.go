// Package serving keeps in each process the engine that the database names, and
// tries engines before agents rely on them.
package serving

import (
	"context"
	"log/slog"

	"spotkeeper/internal/artifacts"
	"spotkeeper/internal/domain/mlmodel"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/engine/host"
	"spotkeeper/internal/engine/onnx"
	"spotkeeper/internal/engine/python"
)

// LoadedEngine is an engine that holds something until it is closed.
type LoadedEngine interface {
	engine.Engine
	Close() error
}

// Loader makes engines of uploaded sessions, with what this process has to run
// them.
type Loader struct {
	Files       artifacts.Store
	ONNXLibrary string // path of libonnxruntime; empty: ONNX models are off
	Python      bool   // uploaded code is run
	Unsafe      bool   // without a sandbox, where the machine gives none
	PythonPath  string
	Elsewhere   bool         // another process runs the files: settings count, and not what is installed here
	Log         *slog.Logger // what uploaded code prints goes here
}

// Off says why nothing here would run a session: it holds no file that is run, or
// its runner is off. It loads nothing. Fails with engine.no_runner,
// mlmodel.not_just_one, python.off and onnx.off.
func (l *Loader) Off(s mlmodel.Session) error {
	_, _, err := l.runner(s)
	return err
}

func (l *Loader) runner(s mlmodel.Session) (mlmodel.File, string, error) {
	file, err := s.Main()
	if err != nil {
		return file, "", err
	}
	runner, err := engine.RunnerOf(file.Name)
	switch {
	case err != nil:
	case runner == engine.RunnerPython && !l.Python:
		err = python.Off.New("Uploaded Python is off (ENGINE_PYTHON): %s is stored and nothing runs it", file.Name)
	case runner == engine.RunnerONNX && (!l.Elsewhere || l.ONNXLibrary == ""):
		err = onnx.Check(l.ONNXLibrary)
	}
	return file, runner, err
}

// Load reads a session's file, proves that it is what was uploaded, and makes an
// engine of it. Fails as Off does, with what is wrong with the file, and with
// artifacts.unavailable.
func (l *Loader) Load(ctx context.Context, s mlmodel.Session) (LoadedEngine, error) {
	file, runner, err := l.runner(s)
	if err != nil {
		return nil, err
	}
	data, err := l.Files.Get(ctx, artifacts.Object{Owner: s.ID, Digest: file.Digest, Size: file.Size})
	if err != nil {
		return nil, err
	}
	o := host.Options{Unsafe: l.Unsafe, Log: l.Log}
	if runner == engine.RunnerPython {
		e, err := python.New(ctx, python.Options{Interpreter: l.PythonPath, Options: o}, file.Name, data)
		if err != nil {
			return nil, err
		}
		return e, nil
	}
	e, err := onnx.New(ctx, o, l.ONNXLibrary, file.Name, data)
	if err != nil {
		return nil, err
	}
	return e, nil
}
