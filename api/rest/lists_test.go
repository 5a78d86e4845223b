package rest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/api/rest"
	"spotkeeper/api/web"
)

// TestNothingIsAnEmptyList asks every route that reads on a database that has a
// tenant and nothing else, and on one that lives: a list is [] and never null,
// which the document says and a page depends on.
func TestNothingIsAnEmptyList(t *testing.T) {
	t.Parallel()
	doc, _ := loadDocument(t)
	fill := strings.NewReplacer("{agent_id}", "a1", "{client_id}", "c1", "{instance_id}", "i-1", "{operation_id}",
		"switch%2F1", "{replica_id}", "11112222-3333")
	for name, prepare := range map[string]func(*stack){
		"empty": func(s *stack) {
			s.exec(`
				DELETE FROM agents;
				DELETE FROM instances;
				DELETE FROM pools;
				DELETE FROM notifications;
				DELETE FROM events`)
		},
		"lived": func(s *stack) {
			for _, rows := range []string{lived, readyRow, todoRow, someOperations, logSink} {
				s.exec(rows)
			}
		},
	} {
		s := newStack(t)
		prepare(s)
		answered := 0
		for _, r := range (rest.Deps{}).Routes() {
			path := web.DocumentPath(r)
			if r.Method != http.MethodGet || r.ID == "streamEvents" || r.ID == "streamAllEvents" ||
				r.ID == "metrics" || r.ID == "getDocsFile" {
				continue
			}
			token := operatorToken
			if r.Auth == web.Agent {
				token = s.acme
			}
			req := httptest.NewRequestWithContext(t.Context(), r.Method, fill.Replace(path), nil)
			req.Header.Set("Authorization", "Bearer "+token)
			rec := httptest.NewRecorder()
			s.handler.ServeHTTP(rec, req)
			require.Less(t, rec.Code, 500, "%s: %s", r.ID, rec.Body)
			if rec.Code != r.Status {
				continue
			}
			answered++
			validate(t, doc.Paths.Value(path).GetOperation(r.Method).Responses.Status(rec.Code), rec, name+" "+r.ID)
			require.NotEqual(t, "null", strings.TrimSpace(rec.Body.String()), "%s %s", name, r.ID)
		}
		require.Greater(t, answered, 20, name)
	}
}
