package rest_test

import (
	"encoding/csv"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"spotkeeper/api/rest"
	"spotkeeper/api/web"
)

var update = flag.Bool("update", false, "rewrite golden files")

const golden = "openapi.json"

func loadDocument(t *testing.T) (*openapi3.T, []byte) {
	t.Helper()
	raw, err := web.Document((rest.Deps{}).Routes())
	require.NoError(t, err)
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	require.NoError(t, err)
	return doc, raw
}

// TestDocumentIsValidAndKept holds the document to OpenAPI, and to the file that
// reviewers see. Rewrite it with -update.
func TestDocumentIsValidAndKept(t *testing.T) {
	t.Parallel()

	doc, raw := loadDocument(t)
	require.NoError(t, doc.Validate(t.Context()))
	require.Equal(t, "3.1.0", doc.OpenAPI)
	if *update {
		require.NoError(t, os.WriteFile("../"+golden, append(raw, '\n'), 0o644)) //nolint:gosec // not a secret
	}
	kept, err := os.ReadFile("../" + golden)
	require.NoError(t, err)
	require.JSONEq(t, string(kept), string(raw),
		"api/openapi.json is not what the routes say: go test ./api/rest -run Document -update")
}

// TestRouterAndDocumentAgree walks both ways, over the router that is really built.
func TestRouterAndDocumentAgree(t *testing.T) {
	t.Parallel()

	s := newStack(t)
	byRoute := map[string]web.Route{}
	for _, r := range (rest.Deps{}).Routes() {
		byRoute[r.Method+" "+r.Path] = r
	}
	doc, _ := loadDocument(t)
	seen := map[string]bool{}
	for _, info := range s.handler.(*gin.Engine).Routes() {
		r, listed := byRoute[info.Method+" "+info.Path]
		require.True(t, listed, "%s %s is served and not in the table", info.Method, info.Path)
		path := web.DocumentPath(r)
		item := doc.Paths.Value(path)
		require.NotNil(t, item, path)
		op := item.GetOperation(info.Method)
		require.NotNil(t, op, "%s %s is not documented", info.Method, path)
		require.Equal(t, r.ID, op.OperationID)
		seen[info.Method+" "+path] = true
	}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			require.True(t, seen[method+" "+path], "%s %s is documented and not served", method, path)
		}
	}
}

// TestAnswersAreAsDocumented validates real answers, successes and refusals, of
// every route that reads, and of writes that a test can repeat.
func TestAnswersAreAsDocumented(t *testing.T) {
	t.Parallel()

	s := newStack(t)
	s.exec(lived)
	s.exec(readyRow)
	s.exec(todoRow)
	s.exec(someOperations)
	s.exec(logSink)
	doc, _ := loadDocument(t)
	fill := strings.NewReplacer("{agent_id}", "a1", "{client_id}", "c1", "{instance_id}", "i-1", "{replica_id}",
		"11112222-3333", "{command_id}", "none", "{notification_id}", "n1", "{operation_id}", "switch%2F1",
		"{sink_id}", "s1", "{pool_id}", "t3.medium.us-east-1a")
	bodies := map[string]string{
		"toggleAgent":            `{"enabled":true}`,
		"changeAgentSettings":    `{}`,
		"configureAgent":         `{"terminateWaitMinutes":5}`,
		"reportReplicaStatus":    `{"status":"ready"}`,
		"reportReplicaSync":      `{}`,
		"bindReplica":            `{"instance_id":"i-r"}`,
		"createClient":           `{"name":"New"}`,
		"heartbeat":              `{}`,
		"markAllRead":            `{}`,
		"forceSwitch":            `{"target":"ondemand"}`,
		"createEmergencyReplica": `{"signal_type":"rebalance-recommendation"}`,
		"terminationImminent":    `{"instance_id":"i-0"}`,
		"createSink":             `{"kind":"log"}`,
		"pauseAgents":            `{"agent_ids":["a1"]}`,
		"resumeAgents":           `{"agent_ids":["a1","b1"]}`,
		"cancelOperations":       `{"operation_ids":["switch/1","none"]}`,
		"removeClient":           `{"confirm":"another"}`,
	}
	s.wf.replica.ReplicaID = "11112222-3333"
	validated, refused := 0, 0
	for _, r := range (rest.Deps{}).Routes() {
		if r.ID == "streamEvents" || r.ID == "streamAllEvents" || r.ID == "metrics" || r.ID == "getDocsFile" ||
			r.ID == "deleteClient" || r.ID == "deleteAgent" || r.ID == "deleteSink" || r.ID == "regenerateToken" {
			continue
		}
		path := web.DocumentPath(r)
		op := doc.Paths.Value(path).GetOperation(r.Method)
		for _, token := range []string{s.acme, operatorToken, "wrong"} {
			if token == operatorToken && r.Auth == web.Agent {
				continue
			}
			req := httptest.NewRequestWithContext(t.Context(), r.Method,
				fill.Replace(path)+asks[r.ID], strings.NewReader(bodies[r.ID]))
			req.Header.Set("Authorization", "Bearer "+token)
			rec := httptest.NewRecorder()
			s.handler.ServeHTTP(rec, req)
			require.Less(t, rec.Code, 500, "%s: %s", r.ID, rec.Body)
			response := op.Responses.Status(rec.Code)
			if response == nil {
				require.GreaterOrEqual(t, rec.Code, 200)
				response = op.Responses.Default()
			}
			if rec.Code >= 400 {
				response, refused = op.Responses.Default(), refused+1
			} else if rec.Code != r.Status {
				response = op.Responses.Status(r.Status) // an answer that chooses its status keeps its shape
			}
			validate(t, response, rec, r.ID)
			validated++
		}
	}
	require.Greater(t, validated-refused, 60, "most of what was asked must have been answered")
}

func validate(t *testing.T, response *openapi3.ResponseRef, rec *httptest.ResponseRecorder, name string) {
	t.Helper()
	require.NotNil(t, response, name)
	media := response.Value.Content.Get(rec.Header().Get("Content-Type"))
	require.NotNil(t, media, "%s answers %s", name, rec.Header().Get("Content-Type"))
	if strings.HasPrefix(rec.Header().Get("Content-Type"), "text/html") {
		require.Contains(t, rec.Body.String(), "</html>", name)
		return
	}
	if strings.HasPrefix(rec.Header().Get("Content-Type"), "text/csv") {
		_, err := csv.NewReader(rec.Body).ReadAll()
		require.NoError(t, err, name)
		return
	}
	var value any
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &value), name)
	err := media.Schema.Value.VisitJSON(value, openapi3.EnableJSONSchema2020(), openapi3.MultiErrors())
	require.NoError(t, err, "%s answers %d %s", name, rec.Code, rec.Body)
}

func TestDocumentIsServed(t *testing.T) {
	t.Parallel()
	s := newStack(t)

	got := s.call("", http.MethodGet, "/openapi.json", "")
	require.Equal(t, 200, got.status)
	require.Equal(t, "3.1.0", got.body["openapi"])
}
