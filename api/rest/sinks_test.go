package rest_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/notification"
	"spotkeeper/internal/postgres/notifications"
	"spotkeeper/internal/webhook"
)

const logSink = `
	INSERT INTO notification_sinks (id, client_id, kind, min_severity)
	VALUES ('s1', 'c1', 'log', 'warning')
	ON CONFLICT (id) DO NOTHING;`

// receiver is a tenant's server: it checks signatures and records deliveries.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	secret string
	answer int
	ids    []string
	texts  []string
	wrong  []string

	signatures int    // of the last delivery
	next       string // secret that it will have
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{answer: 200}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		id := req.Header.Get(notification.HeaderID)
		at, _ := strconv.ParseInt(req.Header.Get(notification.HeaderTimestamp), 10, 64)
		want, err := notification.Sign(r.secret, id, time.Unix(at, 0), body)
		signatures := strings.Fields(req.Header.Get(notification.HeaderSignature))
		r.signatures = len(signatures)
		if err != nil || !slices.Contains(signatures, want) ||
			time.Since(time.Unix(at, 0)) > time.Minute {
			r.wrong = append(r.wrong, id)
		}
		var told struct{ Data struct{ Message string } }
		_ = json.Unmarshal(body, &told)
		r.ids, r.texts = append(r.ids, id), append(r.texts, told.Data.Message)
		http.Redirect(w, req, "/elsewhere", r.answer)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) answers(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = status
}

// deliver is one run of the job.
func (s *stack) deliver(t *testing.T) activities.DeliverResult {
	t.Helper()
	store, err := notifications.NewSinks(s.db, []byte("0123456789abcdef0123456789abcdef"))
	require.NoError(t, err)
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	steps := &activities.Sinks{Store: store, Sender: webhook.New(loopback), Log: slog.New(slog.DiscardHandler)}
	env.RegisterActivity(steps)
	got, err := env.ExecuteActivity(steps.DeliverNotifications)
	require.NoError(t, err)
	var out activities.DeliverResult
	require.NoError(t, got.Get(&out))
	return out
}

func (s *stack) notify(id, client, severity string) {
	s.t.Helper()
	s.exec(
		`
			INSERT INTO notifications (id, client_id, message, severity, created_at)
			VALUES ($1, $2, $1, $3, now() + interval '1 second')`,
		id,
		client,
		severity,
	)
}

func TestNotificationsLeaveTheBuilding(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	r := newReceiver(t)
	const path = "/api/client/c1/sinks"

	made := s.call(s.acme, "POST", path, `{"kind":"webhook","url":"`+r.URL+`/hook","min_severity":"error"}`)
	made.holds(t, 201, `{"success":true,"secret":"*"}`)
	r.secret = made.body["secret"].(string)
	id := made.body["sink"].(map[string]any)["id"].(string)
	require.NotContains(t, s.value(`SELECT encode(secret_sealed, 'escape') FROM notification_sinks`), r.secret)
	require.Equal(t, "client:Acme", s.value(`SELECT actor FROM events WHERE type = 'sink_created'`))

	for _, severity := range []string{"info", "warning", "error", "critical"} {
		s.notify(severity, "c1", severity)
	}
	s.notify("theirs", "c2", "critical")
	require.Equal(t, activities.DeliverResult{Enqueued: 2, Delivered: 2}, s.deliver(t))
	require.Equal(t, []string{"error", "critical"}, r.texts)
	require.Empty(t, r.wrong, "every delivery is signed")
	require.Equal(t, activities.DeliverResult{}, s.deliver(t), "once is enough")

	listed := s.call(s.acme, "GET", path, "")
	require.Len(t, listed.body["sinks"], 1)
	require.NotContains(t, listed.raw, "whsec_", "the secret is shown once")
	require.JSONEq(t, `{"sinks":[]}`, s.call(operatorToken, "GET", "/api/client/c2/sinks", "").raw)
	s.call(s.beta, "DELETE", "/api/client/c2/sinks/"+id, "").holds(t, 404, `{"code":"sink.not_found"}`)
	tried := s.call(operatorToken, "POST", path+"/"+id+"/test", "")
	tried.holds(t, 200, `{"success":true}`)
	require.Contains(t, tried.body["delivery_id"], "test-")
	r.answers(307)
	s.call(s.acme, "POST", path+"/"+id+"/test", "").holds(t, 200,
		`{"success":false,"message":"the receiver answered 307"}`)
	s.call(s.acme, "DELETE", path+"/"+id, "").holds(t, 200, `{"success":true}`)
	s.notify("late", "c1", "critical")
	require.Equal(t, activities.DeliverResult{}, s.deliver(t))
	require.Equal(t, r.URL+"/hook",
		s.value(`SELECT metadata->'before'->>'url' FROM events WHERE type = 'sink_deleted'`))
}

// TestAFailingSinkWaits: a failing delivery keeps its id, delays no other sink, and the
// sink's owner is notified; a delivery that is refused for good is given up.
func TestAFailingSinkWaits(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	broken, fine := newReceiver(t), newReceiver(t)
	for _, r := range []*receiver{broken, fine} {
		r.secret = s.call(s.acme, "POST", "/api/client/c1/sinks", `{"kind":"webhook","url":"`+r.URL+`"}`).
			body["secret"].(string)
	}
	broken.answers(503)
	s.notify("one", "c1", "error")
	s.notify("two", "c1", "error")
	require.Equal(t, activities.DeliverResult{Enqueued: 4, Delivered: 2, Failed: 1}, s.deliver(t),
		"the second waits with the first")
	require.Equal(t, activities.DeliverResult{}, s.deliver(t), "until its time")
	again := func() activities.DeliverResult {
		s.exec(`UPDATE notification_sinks SET retry_after = NULL; UPDATE notification_deliveries SET next_at = now()`)
		return s.deliver(t)
	}
	require.EqualValues(t, 1, again().Failed)
	require.EqualValues(t, 1, again().Failed)
	require.Equal(
		t,
		"1",
		s.value(
			`SELECT count(*)::text FROM notifications WHERE message LIKE 'Notifications could not be delivered%503'`,
		),
		"the owner is told",
	)
	require.Contains(t, s.call(s.acme, "GET", "/api/client/c1/sinks", "").raw, `"state":"failing"`)

	broken.answers(200)
	require.EqualValues(t, 2, again().Enqueued, "both sinks hear what their owner is told")
	again()
	sent := map[string]int{}
	for _, id := range broken.ids {
		sent[id]++
	}
	require.Len(t, sent, 3, "a repetition has the id of the first")
	require.Equal(t, "0", s.value(`SELECT max(failures)::text FROM notification_sinks`))

	broken.answers(400)
	s.notify("three", "c1", "error")
	s.deliver(t)
	s.exec(`UPDATE notification_deliveries SET attempts = $1 WHERE state = 'pending'`, notification.MaxAttempts-1)
	again()
	require.Equal(t, "1", s.value(`SELECT count(*)::text FROM notification_deliveries WHERE state = 'abandoned'`))
	broken.Close()
	fine.Close()
	s.notify("four", "c1", "error")
	s.deliver(t)
	require.Equal(t, "The receiver refused the connection.",
		s.value(`SELECT DISTINCT last_error FROM notification_sinks`))
}

func TestSinksGoOutside(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const path = "/api/client/c1/sinks"

	for body, code := range map[string]string{
		`{"kind":"webhook","url":"http://169.254.169.254/latest"}`: "sink.forbidden_address",
		`{"kind":"webhook","url":"http://10.0.0.1/"}`:              "sink.forbidden_address",
		`{"kind":"webhook","url":"gopher://x.example/"}`:           "sink.invalid",
		`{"kind":"webhook"}`:                   "sink.invalid",
		`{"kind":"mail"}`:                      "request.invalid",
		`{"kind":"log","min_severity":"loud"}`: "request.invalid",
	} {
		s.call(s.acme, "POST", path, body).holds(t, 400, `{"code":"`+code+`"}`)
	}
	// A name that leads inside is found out when it is resolved.
	r := newReceiver(t)
	_, port, _ := strings.Cut(strings.TrimPrefix(r.URL, "http://"), ":")
	err := webhook.New(nil).Send(t.Context(), "http://localhost:"+port, []string{"whsec_"}, "id", nil)
	require.ErrorContains(t, err, "inside of this network")
	require.Empty(t, r.ids)

	for range notification.MaxSinks {
		s.call(s.acme, "POST", path, `{"kind":"log"}`).holds(t, 201, `{}`)
	}
	s.call(s.acme, "POST", path, `{"kind":"log"}`).holds(t, 409, `{"code":"sink.too_many"}`)
	s.call(operatorToken, "POST", "/api/client/nope/sinks", `{"kind":"log"}`).holds(t, 404,
		`{"code":"clients.not_found"}`)
}

// TestAWebhooksSecretIsRotated: while both secrets are good, a receiver with either of them
// believes a delivery.
func TestAWebhooksSecretIsRotated(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	r := newReceiver(t)
	made := s.call(s.acme, "POST", "/api/client/c1/sinks", `{"kind":"webhook","url":"`+r.URL+`"}`)
	id := made.body["sink"].(map[string]any)["id"].(string)
	path := "/api/client/c1/sinks/" + id
	delivers := func(name, secret string, signatures int) {
		t.Helper()
		r.mu.Lock()
		r.secret = secret
		r.mu.Unlock()
		s.call(s.acme, "POST", path+"/test", "").holds(t, 200, `{"success":true}`)
		require.Equal(t, signatures, r.signatures, "of a test")
		s.notify(name, "c1", "error")
		require.EqualValues(t, 1, s.deliver(t).Delivered)
		require.Equal(t, signatures, r.signatures)
		require.Empty(t, r.wrong)
	}
	first := made.body["secret"].(string)
	delivers("one", first, 1)

	rotated := s.call(s.acme, "POST", path+"/rotate", "")
	rotated.holds(t, 200, `{"success":true,"secret_before_until":"*"}`)
	second := rotated.body["secret"].(string)
	require.NotEqual(t, first, second)
	delivers("two", first, 2)
	delivers("three", second, 2)
	s.exec(`UPDATE notification_sinks SET secret_before_until = now()`)
	delivers("four", second, 1)
	require.Equal(t, "gone", s.value(`SELECT coalesce(encode(secret_before_sealed, 'hex'), 'gone') FROM notification_sinks`))

	third := s.call(s.acme, "POST", path+"/rotate", `{"overlap_seconds":0}`).body["secret"].(string)
	delivers("five", third, 1)
	s.call(s.acme, "POST", path+"/rotate", `{"overlap_seconds":-1}`).holds(t, 400, `{"code":"request.invalid"}`)
	s.call(s.beta, "POST", "/api/client/c2/sinks/"+id+"/rotate", "").holds(t, 404, `{"code":"sink.not_found"}`)
	s.exec(logSink)
	s.call(s.acme, "POST", "/api/client/c1/sinks/s1/rotate", "").holds(t, 400, `{"code":"sink.invalid"}`)
}
