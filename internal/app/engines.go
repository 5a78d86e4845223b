package app

import (
	"context"
	"path"

	"spotkeeper/api/pages"
	"spotkeeper/api/web"
	"spotkeeper/internal/artifacts"
	"spotkeeper/internal/config"
	"spotkeeper/internal/domain/mlmodel"
	"spotkeeper/internal/fleet"
	"spotkeeper/internal/postgres/models"
	"spotkeeper/internal/serving"
)

// engines holds the decision engine in use and the loader that validates new ones.
type engines struct {
	files   artifacts.Store
	loader  *serving.Loader
	serving *serving.Serving
	trial   *serving.Trial // of a worker
}

// openEngines makes the engines of a process: its own, or, in a process that runs no uploaded
// code, engines that ask a worker.
func (a *App) openEngines(ctx context.Context, c config.Config, others *serving.Remote) (*engines, error) {
	o := artifacts.Options{URL: c.Artifacts.URL, Region: c.AWS.Region, Endpoint: c.Artifacts.Endpoint}
	if c.AWS.Simulated {
		o.Credentials = fleet.StaticCredentials("simulated", "simulated")
	}
	files, err := artifacts.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	runs, unsafe := c.Engine.RunsPython()
	loader := &serving.Loader{
		Files:       files,
		ONNXLibrary: c.Engine.ONNXLibrary,
		Python:      runs,
		Unsafe:      unsafe,
		PythonPath:  c.Engine.PythonPath,
		Log:         a.Log,
	}
	if others != nil {
		loader.Elsewhere = true
		return &engines{files: files, loader: loader,
			serving: &serving.Serving{Source: &models.Models{DB: a.DB}, Load: others.Load, Log: a.Log}}, nil
	}
	return &engines{
		files: files, loader: loader,
		serving: &serving.Serving{Source: &models.Models{DB: a.DB}, Load: loader.Load, Log: a.Log},
		trial:   &serving.Trial{Load: loader.Load},
	}, nil
}

// engineStatus is what the operators' page shows of the engine and the models.
func (a *App) engineStatus(context.Context) pages.EngineStatus {
	s := a.engines.serving.Status()
	out := pages.EngineStatus{
		Loaded:  true,
		Type:    s.Engine,
		Version: s.Version,
		Models:  pages.ModelStatus{Loaded: true, Name: s.Engine, Version: s.Version},
	}
	for _, session := range s.Sessions {
		files := make([]pages.EngineFile, len(session.Files))
		for i, f := range session.Files {
			files[i] = pages.EngineFile{Name: f.Name, Size: f.Size, Modified: web.Time{Time: session.CreatedAt}}
		}
		if session.Kind == mlmodel.Engine {
			out.Files = files
			continue
		}
		main, err := session.Main()
		if err != nil {
			continue // it could not have become live
		}
		name := main.Name[:len(main.Name)-len(path.Ext(main.Name))]
		out.Models = pages.ModelStatus{
			Loaded: session.ID == s.Session || len(s.Sessions) > 1, Name: name, Version: session.Version, Files: files,
			Active: []pages.ActiveModel{{Name: name, Version: session.Version, Active: session.ID == s.Session}},
		}
	}
	return out
}
