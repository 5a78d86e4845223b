package rest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/api/rest"
	"spotkeeper/internal/domain/mlmodel"
	"spotkeeper/internal/engine/python"
	"spotkeeper/internal/postgres/models"
	"spotkeeper/workflows"
	"spotkeeper/workflows/rollout"
)

// someSessions is one session that is live and watched, and its fallback.
const someSessions = `
INSERT INTO model_sessions (id, kind, state, is_live, is_fallback, activated_at)
VALUES ('s-live', 'models', 'active', true, false, now()), ('s-back', 'models', 'active', false, true, now());
INSERT INTO model_rollouts (session_id, plan, phase, percent) VALUES ('s-live', '{}', 'live', 100)`

// playedRollouts plays immediate rollouts on the real rows.
type playedRollouts struct {
	store   *models.Rollouts
	started []rollout.Input
	told    []string
	refuses error
	offs    error
	state   *rollout.Progress
	effect  func() // what a rollout that took a command would have done
}

func (p *playedRollouts) off(mlmodel.Session) error { return p.offs }

func (p *playedRollouts) StartRollout(
	ctx context.Context,
	in rollout.Input,
) (*rollout.Progress, error) {
	p.started = append(p.started, in)
	if p.refuses != nil {
		return nil, p.refuses
	}
	if err := p.store.Open(ctx, activities.OpenRollout{SessionID: in.SessionID, Plan: in.Plan, By: in.By}); err != nil {
		return nil, err
	}
	v := activities.Validation{SessionID: in.SessionID, Runner: "onnx", Version: "abc123"}
	if err := p.store.Validated(ctx, v); err != nil {
		return nil, err
	}
	if !in.Plan.Immediate() {
		_, err := p.store.Record(ctx, activities.RolloutState{
			SessionID: in.SessionID,
			Phase:     mlmodel.Shadow,
			Detail:    "shadow",
		})
		return &rollout.Progress{SessionID: in.SessionID, Phase: mlmodel.Shadow, Validation: &v}, err
	}
	_, err := p.store.GoLive(ctx, in.SessionID)
	return &rollout.Progress{SessionID: in.SessionID, Phase: mlmodel.Live, Percent: 100, Validation: &v}, err
}

func (p *playedRollouts) SendRolloutCommand(
	_ context.Context,
	sessionID, command, by string,
) (*rollout.Progress, error) {
	p.told = append(p.told, command+" "+sessionID+" by "+by)
	if p.effect != nil {
		p.effect()
	}
	return &rollout.Progress{SessionID: sessionID}, p.refuses
}

func (p *playedRollouts) RolloutState(context.Context, string) (*rollout.Progress, error) {
	if p.state == nil {
		return nil, workflows.NoOperation.New("gone")
	}
	return p.state, nil
}

// send uploads files, as name and size in turn.
func (s *stack) send(path string, files ...any) answer {
	s.t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for i := 0; i < len(files); i += 2 {
		part, err := w.CreateFormFile("files", files[i].(string))
		require.NoError(s.t, err)
		_, err = part.Write(bytes.Repeat([]byte{byte('a' + i)}, files[i+1].(int)))
		require.NoError(s.t, err)
	}
	require.NoError(s.t, w.Close())
	return s.sendBody(path, w.FormDataContentType(), &body)
}

func (s *stack) sendBody(path, contentType string, body io.Reader) answer {
	s.t.Helper()
	req := httptest.NewRequestWithContext(s.t.Context(), "POST", path, body)
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Authorization", "Bearer "+operatorToken)
	rec := httptest.NewRecorder()
	s.handler.ServeHTTP(rec, req)
	out := answer{status: rec.Code, header: rec.Header(), raw: rec.Body.String()}
	require.NoError(s.t, json.Unmarshal(rec.Body.Bytes(), &out.body), out.raw)
	return out
}

const (
	uploadModels = "/api/admin/ml-models/upload"
	uploadEngine = "/api/admin/decision-engine/upload"
)

// TestModelButtons walks what was recorded of the legacy backend, with its
// answers; what differs is that nothing live is ever demoted by an upload.
func TestModelButtons(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	sessions := func() (out []string) {
		for _, x := range s.call(operatorToken, "GET", "/api/admin/ml-models/sessions", "").list {
			m := x.(map[string]any)
			out = append(out, fmt.Sprintf("%v live=%v fallback=%v %v %v", m["status"], m["isLive"], m["isFallback"],
				m["fileCount"], m["files"]))
		}
		return out
	}
	activate := func(id string) answer {
		return s.call(operatorToken, "POST", "/api/admin/ml-models/activate", fmt.Sprintf(`{"sessionId":%q}`, id))
	}
	fallback := func() answer { return s.call(operatorToken, "POST", "/api/admin/ml-models/fallback", "") }

	require.Empty(t, sessions())
	require.Equal(t, 404, fallback().status)
	first := s.send(uploadModels, "model_a.pkl", 100, "../../scaler.joblib", 50)
	require.Equal(t, 200, first.status, first.raw)
	id1 := first.body["sessionId"].(string)
	require.JSONEq(t,
		fmt.Sprintf(
			`{"files":["model_a.pkl","scaler.joblib"],"message":"Uploaded 2 model files. Use the RESTART button to activate.",
		"model_status":{"filesUploaded":2,"sessionType":"pending_activation","totalSize":150},"requiresRestart":true,"sessionId":%q,"success":true}`,
			id1,
		), first.raw)
	require.Equal(t, []string{"uploaded live=false fallback=false 2 [model_a.pkl scaler.joblib]"}, sessions())

	require.Equal(t, 400, s.call(operatorToken, "POST", "/api/admin/ml-models/activate", `{}`).status)
	good := activate(id1)
	require.JSONEq(t,
		fmt.Sprintf(
			`{"message":"Models activated successfully. Backend will restart in 3 seconds.","model_status":{"loaded":true,"type":"onnx"},"restarting":true,"sessionId":%q,"success":true}`,
			id1,
		), good.raw)
	require.Equal(t, mlmodel.Immediate(), s.models.started[0].Plan)
	require.Equal(t, 200, activate(id1).status, "a second run changes nothing")
	require.Len(t, s.models.started, 1)

	second := s.send(uploadModels, "model_b.onnx", 200)
	id2 := second.body["sessionId"].(string)
	require.Equal(t, []string{"uploaded live=false fallback=false 1 [model_b.onnx]",
		"active live=true fallback=false 2 [model_a.pkl scaler.joblib]"}, sessions())
	require.Equal(t, 200, activate(id2).status)
	back := fallback()
	require.JSONEq(t,
		fmt.Sprintf(
			`{"fallbackSessionId":%q,"message":"Rolled back to previous model version. Backend will restart in 3 seconds.","restarting":true,"success":true}`,
			id1,
		), back.raw)
	require.Equal(t, []string{"active live=true fallback=false 2 [model_a.pkl scaler.joblib]"}, sessions())
	require.Equal(t, 404, fallback().status)
	require.Equal(t, "No fallback version available", fallback().body["error"])
	require.Equal(t, 404, activate("00000000-0000-0000-0000-000000000000").status)

	refused := s.send(uploadModels, "good.onnx", 10, "model.exe", 1)
	require.Equal(t, 400, refused.status)
	require.True(t, strings.HasPrefix(refused.body["error"].(string),
		"File type not allowed: model.exe. Allowed types: "), refused.raw)
	require.Len(t, sessions(), 1, "a refused upload stores and demotes nothing")
}

// zeros never end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestUploadsThatAreNone(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for _, path := range []string{uploadModels, uploadEngine} {
		for want, got := range map[string]answer{
			"No files provided": s.sendBody(path, "application/json", bytes.NewBufferString(`{"files":[]}`)),
			"No files selected": s.send(path, "", 1),
		} {
			require.Equal(t, 400, got.status, got.raw)
			require.Equal(t, want, got.body["error"])
		}
		require.Equal(t, "No files provided", s.send(path).body["error"])
	}
	require.Equal(t, "File type not allowed: engine.txt. Allowed types: .py, .pkl, .joblib",
		s.send(uploadEngine, "engine.txt", 1).body["error"])
	large := s.send(uploadModels, "a.onnx", 60<<20, "b.onnx", 41<<20)
	require.Equal(t, 413, large.status, large.raw)
	require.Equal(t, "request.too_large", large.body["code"])
	// In chunks, so that only reading it shows how much there is.
	chunked := io.MultiReader(
		strings.NewReader("--b\r\nContent-Disposition: form-data; name=\"files\"; filename=\"a.onnx\"\r\n\r\n"),
		io.LimitReader(zeros{}, 101<<20), strings.NewReader("\r\n--b--\r\n"))
	endless := s.sendBody(uploadModels, "multipart/form-data; boundary=b", chunked)
	require.Equal(t, 413, endless.status, endless.raw)
	require.Equal(t, "request.too_large", endless.body["code"])
	many := []any{}
	for i := range 33 {
		many = append(many, fmt.Sprintf("m%d.onnx", i), 1)
	}
	require.Equal(t, "mlmodel.too_many_files", s.send(uploadModels, many...).body["code"])
	require.Equal(t, "0", s.value(`SELECT count(*)::text FROM model_sessions`))
}

func TestEngineUpload(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	good := s.send(uploadEngine, "custom_engine.py", 15)
	require.Equal(t, 200, good.status, good.raw)
	require.JSONEq(t,
		fmt.Sprintf(
			`{"engine_status":{"loaded":true,"type":"onnx","version":"abc123"},"files":["custom_engine.py"],"sessionId":%q,
		"message":"Decision engine files uploaded successfully. Backend will restart in 3 seconds.","restarting":true,"success":true}`,
			good.body["sessionId"],
		), good.raw)
	require.Equal(t, "true", s.value(`SELECT is_live::text FROM model_sessions WHERE kind = 'engine'`))

	stored := s.send(uploadEngine+"?activate=false", "next_engine.py", 15)
	require.Equal(t, false, stored.body["restarting"], stored.raw)
	require.Len(t, s.models.started, 1, "it waits for a rollout by a plan")

	s.models.refuses = python.BadEngine.New("custom_engine.py does not load: invalid syntax")
	bad := s.send(uploadEngine, "custom_engine.py", 15)
	require.Equal(t, 400, bad.status)
	require.Equal(t, "Files uploaded but failed to reload decision engine", bad.body["message"])
	require.Equal(t, false, bad.body["success"])
	require.Contains(t, bad.body["error"], "invalid syntax")

	s.models.offs = python.Off.New("Uploaded Python is off (ENGINE_PYTHON)")
	started := len(s.models.started)
	off := s.send(uploadEngine, "custom_engine.py", 15)
	require.Equal(t, 200, off.status, off.raw)
	require.Equal(t, false, off.body["restarting"])
	require.Contains(t, off.body["message"], "ENGINE_PYTHON")
	require.Len(t, s.models.started, started, "nothing is started that cannot run")
	require.Equal(t, "4", s.value(`SELECT count(*)::text FROM model_sessions`), "it is stored all the same")
}

func TestModelRollouts(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	id := s.send(uploadModels, "m.onnx", 10).body["sessionId"].(string)
	all, one := "/api/admin/model-rollouts", "/api/admin/model-rollouts/"+id
	for body, code := range map[string]string{
		`{}`:                                  "request.invalid",
		`{"session_id":"s","shadow":"soon"}`:  "mlmodel.bad_plan",
		`{"session_id":"s","canary":[50,10]}`: "mlmodel.bad_plan",
		`{"session_id":"s","guards":{"error_rate":2}}`: "mlmodel.bad_plan",
		`{"session_id":"nope"}`:                        "mlmodel.not_found",
	} {
		got := s.call(operatorToken, "POST", all, body)
		require.Equal(t, code, got.body["code"], got.raw)
	}
	require.Equal(t, 404, s.call(operatorToken, "GET", one, "").status)
	got := s.call(operatorToken, "POST", all,
		fmt.Sprintf(
			`{"session_id":%q,"shadow":"1h","canary":[5,50],"step":"30m","watch":"2h","guards":{"spend_percent":20}}`,
			id))
	require.Equal(t, 201, got.status, got.raw)
	require.Equal(t, "shadow", got.body["phase"])
	plan := got.body["plan"].(map[string]any)
	require.Equal(t, []any{"1h0m0s", "30m0s", "2h0m0s", []any{5.0, 50.0}},
		[]any{plan["shadow"], plan["step"], plan["watch"], plan["canary"]})
	require.InDelta(t, 20, plan["guards"].(map[string]any)["spend_percent"], 0)
	require.InDelta(t, .05, plan["guards"].(map[string]any)["error_rate"], 0, "what is not named has its default")
	require.Equal(t, "ops", got.body["started_by"].(string)[len(got.body["started_by"].(string))-3:])

	s.models.state = &rollout.Progress{
		Phase:    mlmodel.Shadow,
		Detail:   "as its workflow says",
		Readings: mlmodel.Readings{Shadow: mlmodel.Comparison{Pairs: 10, Agree: 9}},
	}
	got = s.call(operatorToken, "GET", one, "")
	require.Equal(t, "as its workflow says", got.body["detail"])
	require.InDelta(t, .9, got.body["agreement"], 1e-9)
	require.Len(t, s.call(operatorToken, "GET", all, "").body["rollouts"], 1)

	for _, command := range []string{"promote", "pause", "resume", "abort", "rollback"} {
		got = s.call(operatorToken, "POST", one+"/"+command, "")
		require.Equal(t, 200, got.status, got.raw)
		require.Contains(t, s.models.told[len(s.models.told)-1], command+" "+id)
	}
	s.models.refuses = mlmodel.WrongPhase.New("The session decides for no agent yet: abort it instead")
	require.Equal(t, 409, s.call(operatorToken, "POST", one+"/rollback", "").status)

	s.models.refuses = workflows.NoOperation.New("gone")
	require.Equal(t, 404, s.call(operatorToken, "POST", one+"/promote", "").status)
	got = s.call(operatorToken, "POST", one+"/abort", "")
	require.Equal(t, 200, got.status, got.raw)
	require.Equal(t, "aborted", got.body["phase"], "a row whose workflow was ended by hand does not stay in the way")
	require.Equal(t, "mlmodel.wrong_phase", s.call(operatorToken, "POST", one+"/abort", "").body["code"])
}

// TestAnEngineThatCannotBeLoadedDegrades: the process says so and stays ready,
// because what no process can load must not take all of them away.
func TestAnEngineThatCannotBeLoadedDegrades(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.deps.Probes = []rest.Probe{
		{Name: "postgres", Check: s.db.Ping},
		{Name: "engine", Degrades: true, Check: func(context.Context) error {
			return mlmodel.LoadFailed.New("the live session s1 cannot be loaded here")
		}},
	}
	var err error
	s.handler, err = rest.New(s.deps)
	require.NoError(t, err)
	s.call("", "GET", "/ready", "").holds(t, 200, `{"status":"degraded"}`)
	got := s.ops("/ready")
	require.Equal(t, 200, got.status)
	require.Equal(t, "degraded", got.body["status"])
	require.Equal(t, "the live session s1 cannot be loaded here",
		got.body["checks"].(map[string]any)["engine"].(map[string]any)["error"])

	s.deps.Probes[0].Check = func(context.Context) error { return errors.New("password=secret") }
	s.handler, err = rest.New(s.deps)
	require.NoError(t, err)
	got = s.ops("/ready")
	require.Equal(t, 503, got.status)
	require.Equal(t, "not ready", got.body["status"])
	require.NotContains(t, got.raw, "secret")
}
