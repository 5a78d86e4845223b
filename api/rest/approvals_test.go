package rest_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// someWebhook receives questions of the first tenant.
const someWebhook = `
INSERT INTO notification_sinks (id, client_id, kind, url, secret_sealed, min_severity)
VALUES ('s-link', 'c1', 'webhook', 'https://hooks.example/', 'x', 'info')
ON CONFLICT DO NOTHING`

// link is the signed link for a question, without its address.
func link(t testing.TB, approvalID, sinkID string) (path string, form url.Values) {
	t.Helper()
	u, err := url.Parse(approvalLinks.URL(approvalID, sinkID))
	require.NoError(t, err)
	return u.RequestURI(), u.Query()
}

func answersByLink(s *stack) {
	s.exec(someWebhook)
	path, form := link(s.t, "q1", "s-link")
	form.Set("answer", "reject")
	require.Equal(s.t, 200, post(s, path, form).Code)
}

func post(s *stack, path string, form url.Values) *httptest.ResponseRecorder {
	s.t.Helper()
	path, _, _ = strings.Cut(path, "?")
	req := httptest.NewRequestWithContext(s.t.Context(), http.MethodPost, path, strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rec := httptest.NewRecorder()
	s.handler.ServeHTTP(rec, req)
	return rec
}

func TestMovesAreApprovedOverHTTP(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(someQuestions)
	rules := "/api/client/c1/move-rules"

	s.call(s.acme, "GET", rules, "").holds(t, 200, `{"policies":{"to_spot":"ask","to_ondemand":"auto","requested":"auto","maintenance":"auto"},
		"answer_minutes":60,"windows":[],"opens_at":null}`)
	s.call(s.beta, "GET", rules, "").holds(t, 404, `{}`)
	s.call(oncallToken, "PUT", rules, `{}`).holds(t, 403, `{}`)
	s.call(s.acme, "PUT", rules, `{"policies":{"failover":"ask"}}`).holds(t, 400, `{"code":"request.invalid"}`)
	s.call(s.acme, "PUT", rules, `{"policies":{"to_spot":"maybe"}}`).holds(t, 400, `{"code":"request.invalid"}`)
	s.call(s.acme, "PUT", rules, `{"windows":[{"cron":"@daily","minutes":60}]}`).holds(t, 400, `{"code":"approval.bad_rules"}`)
	s.call(s.acme, "PUT", rules, `{"windows":[{"cron":"0 2 * * *","minutes":5}]}`).holds(t, 400, `{"code":"approval.bad_rules"}`)
	s.call(s.acme, "PUT", rules, `{"answer_minutes":1}`).holds(t, 400, `{"code":"approval.bad_rules"}`)
	s.call(s.acme, "PUT", rules, `{"policies":{"to_spot":"ask","maintenance":"never"},
		"windows":[{"cron":"0 0 1 1 *","zone":"Asia/Tokyo","minutes":15}]}`).holds(t, 200,
		`{"policies":{"to_spot":"ask","to_ondemand":"auto","requested":"auto","maintenance":"never"},"answer_minutes":1440,
			"windows":[{"cron":"0 0 1 1 *","zone":"Asia/Tokyo","minutes":15}],"opens_at":"*"}`)
	s.call(s.acme, "PUT", "/api/client/c1/move-rules", `{"policies":{"to_spot":"ask"}}`).holds(t, 200, `{"windows":[]}`)

	require.Len(t, s.call(s.acme, "GET", "/api/approvals?state=pending", "").body["approvals"], 1)
	require.Len(t, s.call(s.beta, "GET", "/api/approvals?client_id=c1", "").body["approvals"], 1, "a tenant reads its own")
	require.Len(t, s.call(operatorToken, "GET", "/api/approvals", "").body["approvals"], 2)
	require.Len(t, s.call(operatorToken, "GET", "/api/approvals?client_id=c2", "").body["approvals"], 1)
	s.call(s.acme, "GET", "/api/approvals?state=open", "").holds(t, 400, `{"code":"request.invalid"}`)
	s.call(s.acme, "GET", "/api/approvals/q1", "").holds(t, 200, `{"agent_name":"web-1","state":"pending",
		"target_pool_id":"t3.medium.us-east-1c","target_instance_type":null,"instance_id":"i-1","operation_id":null,
		"asked_by":"fleet-decisions","asked_at":"*","answered_at":null,"answered_by":null}`)
	page := s.call(operatorToken, "GET", "/api/approvals?limit=1", "").body
	require.Len(t, page["approvals"], 1)
	second := s.call(operatorToken, "GET", "/api/approvals?limit=1&after="+page["next"].(string), "").body
	require.Len(t, second["approvals"], 1)
	require.Nil(t, second["next"])
	require.NotEqual(t, page["approvals"], second["approvals"])
	s.call(s.beta, "GET", "/api/approvals/q1", "").holds(t, 404, `{"code":"approval.not_found"}`)
	s.call(s.beta, "POST", "/api/approvals/q1/approve", "").holds(t, 404, `{"code":"approval.not_found"}`)
	s.call(guestToken, "POST", "/api/approvals/q1/approve", "").holds(t, 403, `{"code":"auth.role_too_small"}`)
	s.call(s.acme, "POST", "/api/approvals/q1/approve", "").holds(t, 200,
		`{"state":"approved","answered_by":"client:Acme","answered_at":"*"}`)
	s.call(oncallToken, "POST", "/api/approvals/q1/approve", `{}`).holds(t, 200, `{"state":"approved","answered_by":"client:Acme"}`)
	s.call(oncallToken, "POST", "/api/approvals/q1/reject", `{}`).holds(t, 409, `{"code":"approval.already_answered"}`)
	s.call(oncallToken, "POST", "/api/approvals/q2/reject", `{}`).holds(t, 200, `{"state":"rejected","answered_by":"operator:oncall"}`)
	s.exec(`UPDATE move_approvals SET state = 'pending', answered_at = NULL, answered_by = '', expires_at = now() WHERE id = 'q2'`)
	for _, verb := range []string{"approve", "reject"} {
		s.call(s.beta, "POST", "/api/approvals/q2/"+verb, "").holds(t, 409, `{"code":"approval.lapsed"}`)
	}
	s.exec(`UPDATE move_approvals SET state = 'outdated', expires_at = now() + interval '1 hour' WHERE id = 'q2'`)
	for _, verb := range []string{"approve", "reject"} {
		s.call(s.beta, "POST", "/api/approvals/q2/"+verb, "").holds(t, 409, `{"code":"approval.outdated"}`)
	}
	explained := s.call(s.acme, "GET", "/api/client/agents/a1/explain", "")
	require.Contains(t, explained.raw, "The move to t3.medium.us-east-1c was approved by client:Acme")
}

func TestAProgramThatMayNotMoveGetsTheQuestion(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.market(0.0300, 0.0131, 0.0119)
	s.exec(`INSERT INTO move_rules (client_id, requested, answer_minutes) VALUES ('c1', 'ask', 60)`)
	const order, body = "/api/agents/a1/issue-switch-command", `{"target_mode":"spot","target_pool_id":"t3.medium.us-east-1c"}`
	first := s.call(s.acme, "POST", order, body)
	first.holds(t, 409, `{"code":"switch.awaits_approval","approval_id":"*"}`)
	again := s.call(s.acme, "POST", order, body)
	require.Equal(t, first.body["approval_id"], again.body["approval_id"])
	s.call(s.acme, "POST", "/api/approvals/"+first.body["approval_id"].(string)+"/approve", "").holds(t, 200,
		`{"state":"approved","kind":"requested"}`)
	s.call(s.acme, "POST", order, body).holds(t, 201, `{"success":true}`)
	s.call(s.acme, "GET", "/api/approvals/"+first.body["approval_id"].(string), "").holds(t, 200,
		`{"state":"used","operation_id":"*"}`)
}

func TestALinkOfAWebhookAnswersItsQuestion(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(someQuestions)
	s.exec(someWebhook)
	path, form := link(t, "q1", "s-link")
	show := func(path string) *httptest.ResponseRecorder {
		return browse(t, s.handler, http.MethodGet, path, "", nil)
	}

	page := show(path)
	require.Equal(t, 200, page.Code, page.Body)
	require.Contains(t, page.Body.String(), "Move of web-1")
	require.Contains(t, page.Body.String(), "It is cheaper.")
	require.Equal(t, "no-referrer", page.Header().Get("Referrer-Policy"))
	require.Equal(t, "no-store", page.Header().Get("Cache-Control"))
	require.Contains(t, page.Header().Get("Content-Security-Policy"), "default-src 'none'")
	s.call(s.acme, "GET", "/api/approvals/q1", "").holds(t, 200, `{"state":"pending"}`) // looking answers nothing

	for name, c := range map[string]struct {
		path   string
		change func(url.Values)
		status int
	}{
		"another signature": {path, func(f url.Values) { f.Set("token", strings.Repeat("A", 43)) }, 403},
		"no signature":      {path, func(f url.Values) { f.Del("token") }, 403},
		"another webhook":   {path, func(f url.Values) { f.Set("sink", "s1") }, 403},
		"another question":  {"/answer/q2", func(url.Values) {}, 403},
		"no answer":         {path, func(f url.Values) { f.Set("answer", "") }, 400},
	} {
		bad := url.Values{"sink": form["sink"], "token": form["token"], "answer": {"approve"}}
		c.change(bad)
		require.Equal(t, c.status, post(s, c.path, bad).Code, name)
	}
	s.call(s.acme, "GET", "/api/approvals/q1", "").holds(t, 200, `{"state":"pending"}`)

	form.Set("answer", "approve")
	done := post(s, path, form)
	require.Equal(t, 200, done.Code)
	require.Contains(t, done.Body.String(), "Approved.")
	s.call(s.acme, "GET", "/api/approvals/q1", "").holds(t, 200, `{"state":"approved","answered_by":"link of webhook s-link"}`)
	require.Equal(t, 200, post(s, path, form).Code, "the same answer again")
	form.Set("answer", "reject")
	refused := post(s, path, form)
	require.Equal(t, 409, refused.Code)
	require.Contains(t, refused.Body.String(), "was approved by link of webhook s-link")
	require.NotContains(t, show(path).Body.String(), "<form", "it is answered")

	s.exec(`DELETE FROM notification_sinks WHERE id = 's-link'`)
	require.Equal(t, 403, show(path).Code, "a link ends with its webhook")
	path, _ = link(t, "q2", "s-link")
	require.Equal(t, 403, show(path).Code)
}
