package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"spotkeeper/api/web"
	"spotkeeper/internal/artifacts"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/mlmodel"
	"spotkeeper/internal/domain/operators"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/workflows"
	"spotkeeper/workflows/rollout"
)

// ModelStore is the part of postgres.Models that sessions are served from.
type ModelStore interface {
	Create(ctx context.Context, in mlmodel.Session) error
	Session(ctx context.Context, id string) (*mlmodel.Session, error)
	Sessions(ctx context.Context, kind mlmodel.Kind, all bool, p pg.Page) ([]mlmodel.Session, error)
	Fallback(ctx context.Context, kind mlmodel.Kind) (*mlmodel.Session, error)
	Prune(ctx context.Context, kind mlmodel.Kind) ([]string, error)
}

// RolloutWorkflows is the part of workflows.Client that starts and commands rollouts.
type RolloutWorkflows interface {
	StartRollout(ctx context.Context, in rollout.Input) (*rollout.Progress, error)
	SendRolloutCommand(ctx context.Context, sessionID, command, by string) (*rollout.Progress, error)
	RolloutState(ctx context.Context, sessionID string) (*rollout.Progress, error)
}

// Models serve uploads of models and engines, and the deployed page's buttons.
// Uploading code is an operator's act.
type Models struct {
	Store     ModelStore
	Files     artifacts.Store
	Off       func(mlmodel.Session) error // why nothing here would run a session
	Workflows RolloutWorkflows
	Log       *slog.Logger
}

// Routes lists the endpoints.
func (m *Models) Routes() []web.Route {
	return []web.Route{
		{
			Method:   http.MethodPost,
			Path:     "/api/admin/decision-engine/upload",
			ID:       "uploadEngine",
			Summary:  "Upload a decision engine as multipart files, and make it live when it is valid",
			Auth:     web.Admin,
			Status:   200,
			Endpoint: web.NewStream[uploadEngineRequest, engineUploaded](m.uploadEngine),
			Timeout:  uploadTime,
		},
		{
			Method:   http.MethodPost,
			Path:     "/api/admin/ml-models/upload",
			ID:       "uploadModels",
			Summary:  "Upload models as multipart files",
			Auth:     web.Admin,
			Status:   200,
			Endpoint: web.NewStream[web.None, modelsUploaded](m.uploadModels),
			Timeout:  uploadTime,
		},
		{
			Method:   http.MethodPost,
			Path:     "/api/admin/ml-models/activate",
			ID:       "activateModels",
			Summary:  "Validate a session and make it live at once",
			Auth:     web.Admin,
			Role:     operators.Operator,
			Status:   200,
			Event:    "model_activation_requested",
			Subject:  web.ServingSubject,
			Endpoint: web.NewEndpoint(m.activate),
			Timeout:  web.GuardianTimeout,
		},
		{
			Method:   http.MethodPost,
			Path:     "/api/admin/ml-models/fallback",
			ID:       "fallBack",
			Summary:  "Make the fallback live again",
			Auth:     web.Admin,
			Role:     operators.Operator,
			Status:   200,
			Event:    "model_fallback_requested",
			Subject:  web.ServingSubject,
			Endpoint: web.NewEndpoint(m.fallback),
			Timeout:  web.GuardianTimeout,
		},
		{
			Method:   http.MethodGet,
			Path:     "/api/admin/ml-models/sessions",
			ID:       "listSessions",
			Summary:  "List the live session, the fallback and the one that waits, or all that are kept",
			Auth:     web.Admin,
			Status:   200,
			Endpoint: web.NewEndpoint(m.sessions),
		},
	}
}

// storeSession stores what was received as a new session, and removes old ones.
func (m *Models) storeSession(c *gin.Context, kind mlmodel.Kind, files upload) (mlmodel.Session, error) {
	ctx := c.Request.Context()
	s := mlmodel.Session{ID: uuid.NewString(), Kind: kind, State: mlmodel.Uploaded, UploadedBy: web.ActorName(ctx)}
	for _, f := range files {
		o, err := m.Files.Put(ctx, s.ID, f.file)
		if err != nil {
			return s, err
		}
		// Of two files with one name the later is kept, as the page shows it.
		s.Files = slices.DeleteFunc(s.Files, func(had mlmodel.File) bool { return had.Name == f.name })
		s.Files = append(s.Files, mlmodel.File{Name: f.name, Digest: o.Digest, Size: o.Size})
	}
	if err := m.Store.Create(ctx, s); err != nil {
		return s, err
	}
	old, err := m.Store.Prune(ctx, kind)
	for _, id := range old {
		err = errors.Join(err, m.Files.Remove(ctx, id))
	}
	if err != nil { // the upload is safe; what is left behind costs a little room
		m.Log.WarnContext(ctx, "old sessions were not all removed", "error", err)
	}
	return s, nil
}

func fileNames(files []mlmodel.File) []string {
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = f.Name
	}
	return names
}

type modelsUploaded struct {
	Success   bool        `json:"success"`
	Message   string      `json:"message"`
	Files     []string    `json:"files"`
	SessionID string      `json:"sessionId"`
	Restart   bool        `json:"requiresRestart"`
	Status    modelsBrief `json:"model_status"`
	Warning   string      `json:"warning,omitempty" doc:"why nothing would run the session as things are"`
}

type modelsBrief struct {
	Files int    `json:"filesUploaded"`
	Size  int64  `json:"totalSize"`
	Type  string `json:"sessionType"`
}

// uploadModels stores files and touches nothing that serves.
func (m *Models) uploadModels(c *gin.Context, _ *web.None) error {
	files, err := receiveUpload(c, mlmodel.Models)
	if err != nil {
		return err
	}
	defer files.close()
	s, err := m.storeSession(c, mlmodel.Models, files)
	if err != nil {
		return err
	}
	out := modelsUploaded{
		Success:   true,
		Message:   fmt.Sprintf("Uploaded %d model files. Use the RESTART button to activate.", len(s.Files)),
		Files:     fileNames(s.Files),
		SessionID: s.ID,
		Restart:   true,
		Status:    modelsBrief{Files: len(s.Files), Size: s.Size(), Type: "pending_activation"},
	}
	if off := m.Off(s); off != nil {
		out.Warning = web.MessageOf(off)
	}
	web.WriteJSON(c, http.StatusOK, out)
	return nil
}

type uploadEngineRequest struct {
	Activate string `json:"-" form:"activate" binding:"omitempty,oneof=true false" doc:"false: store it, for a rollout by a plan"`
}

type engineUploaded struct {
	Success    bool        `json:"success"`
	Message    string      `json:"message"`
	Files      []string    `json:"files"`
	SessionID  string      `json:"sessionId"`
	Restarting bool        `json:"restarting"`
	Status     engineBrief `json:"engine_status"`
	Warning    string      `json:"warning,omitempty" doc:"why the engine is not live"`
}

type engineBrief struct {
	Loaded  bool    `json:"loaded"`
	Type    *string `json:"type"`
	Version *string `json:"version"`
}

// uploadEngine stores an engine and makes it live when it is valid. Where engines
// are off it is stored, and the answer says what is off.
func (m *Models) uploadEngine(c *gin.Context, in *uploadEngineRequest) error {
	files, err := receiveUpload(c, mlmodel.Engine)
	if err != nil {
		return err
	}
	defer files.close()
	s, err := m.storeSession(c, mlmodel.Engine, files)
	if err != nil {
		return err
	}
	out := engineUploaded{Success: true, Files: fileNames(s.Files), SessionID: s.ID}
	if off := m.Off(s); fault.KindOf(off) == fault.Unavailable && off != nil {
		out.Message, out.Warning = "Decision engine files stored, not activated: "+web.MessageOf(off), web.MessageOf(
			off)
		web.WriteJSON(c, http.StatusOK, out)
		return nil
	}
	if in.Activate == "false" {
		out.Message = "Decision engine files stored. Roll the session out to activate them."
		web.WriteJSON(c, http.StatusOK, out)
		return nil
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), web.GuardianTimeout)
	defer cancel()
	p, err := m.Workflows.StartRollout(ctx, rollout.Input{
		SessionID: s.ID,
		Plan:      mlmodel.Immediate(),
		By:        web.ActorName(ctx),
	})
	switch {
	case fault.Is(err, workflows.NoAnswer):
		out.Message = "Decision engine files uploaded successfully. They are still being validated and become live when they are valid."
	case err != nil:
		return withPageFields(err, "Files uploaded but failed to reload decision engine",
			map[string]any{"files": out.Files, "sessionId": s.ID})
	default:
		out.Message, out.Restarting = "Decision engine files uploaded successfully. Backend will restart in 3 seconds.", true
		out.Status = engineBrief{Loaded: true, Type: &p.Validation.Runner, Version: &p.Validation.Version}
	}
	web.WriteJSON(c, http.StatusOK, out)
	return nil
}

// withPageFields adds what the deployed page expects of one.
func withPageFields(err error, message string, more map[string]any) error {
	f, coded := errors.AsType[*fault.Error](err)
	if !coded {
		return err
	}
	for name, value := range more {
		f = f.With(name, value)
	}
	return f.With("success", false).With("message", message)
}

type activateRequest struct {
	web.OptionalBody
	SessionID string `json:"sessionId" binding:"max=64"`
}

type activated struct {
	Success    bool        `json:"success"`
	Message    string      `json:"message"`
	SessionID  string      `json:"sessionId"`
	Restarting bool        `json:"restarting"`
	Model      activeBrief `json:"model_status"`
	status     int
}

// Status implements Statused.
func (a *activated) Status() int { return a.status }

type activeBrief struct {
	Loaded bool   `json:"loaded"`
	Type   string `json:"type"`
}

// activate is the immediate plan: nothing is touched before the session is valid,
// and a guard that trips within half an hour takes it back. Every process serves
// it without a restart; the sentence is the deployed page's.
func (m *Models) activate(ctx context.Context, in *activateRequest) (*activated, error) {
	if in.SessionID == "" {
		return nil, mlmodel.NoSession.New("No session ID provided")
	}
	s, err := m.Store.Session(ctx, in.SessionID)
	if err != nil {
		return nil, err
	}
	out := &activated{
		Success:    true,
		Message:    "Models activated successfully. Backend will restart in 3 seconds.",
		SessionID:  s.ID,
		Restarting: true,
		status:     http.StatusOK,
	}
	out.Model = activeBrief{Loaded: true, Type: s.Runner}
	if s.Live {
		return out, nil
	}
	p, err := m.Workflows.StartRollout(ctx, rollout.Input{
		SessionID: s.ID,
		Plan:      mlmodel.Immediate(),
		By:        web.ActorName(ctx),
	})
	switch {
	case fault.Is(err, workflows.NoAnswer):
		out.Message = "The session is still being validated and becomes live when it is valid."
		out.Restarting, out.Model, out.status = false, activeBrief{}, http.StatusAccepted
	case err != nil:
		return nil, withPageFields(err, "Failed to load new models", map[string]any{"sessionId": s.ID})
	default:
		out.Model.Type = p.Validation.Runner
	}
	return out, nil
}

type fallbackRequest struct {
	web.OptionalBody
	Kind mlmodel.Kind `json:"kind" binding:"omitempty,oneof=models engine" doc:"models by default"`
}

type fellBack struct {
	Success    bool   `json:"success"`
	Message    string `json:"message"`
	SessionID  string `json:"fallbackSessionId"`
	Restarting bool   `json:"restarting"`
}

// fallback makes the fallback live, by the same immediate plan; what was live is
// archived.
func (m *Models) fallback(ctx context.Context, in *fallbackRequest) (*fellBack, error) {
	kind := in.Kind
	if kind == "" {
		kind = mlmodel.Models
	}
	s, err := m.Store.Fallback(ctx, kind)
	if err != nil {
		return nil, err
	}
	plan := mlmodel.Immediate()
	plan.Back = true
	if _, err := m.Workflows.StartRollout(ctx, rollout.Input{
		SessionID: s.ID,
		Plan:      plan,
		By:        web.ActorName(ctx),
	}); err != nil {
		return nil, withPageFields(err, "Failed to load the fallback", map[string]any{"fallbackSessionId": s.ID})
	}
	return &fellBack{
		Success:    true,
		Message:    "Rolled back to previous model version. Backend will restart in 3 seconds.",
		SessionID:  s.ID,
		Restarting: true,
	}, nil
}
