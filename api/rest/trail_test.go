package rest_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/postgres/audit"
	"spotkeeper/workflows"
)

// TestTheTrailHasIntentOutcomeAndRefusal of what is asked of a workflow, with who asked,
// by which token, from where and in which request.
func TestTheTrailHasIntentOutcomeAndRefusal(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(readyRow)
	ci := s.tenantToken("ci", "operate")
	s.from = "192.0.2.9:1"
	acts := func() string {
		return s.value(
			`
				SELECT coalesce(string_agg(outcome, ' ' ORDER BY id), '')
				FROM trail
				WHERE type = 'replica_promotion_requested'`,
		)
	}
	const promote = "/api/agents/a1/replicas/11112222-3333/promote"

	got := s.call(ci, "POST", promote, `{"wait_for_sync":false}`)
	require.Less(t, got.status, 300, got.raw)
	require.Equal(t, "intent done", acts())
	require.Equal(
		t,
		"client c1 192.0.2.9 2",
		s.value(
			`
				SELECT concat_ws(' ', max(actor_kind), max(actor_id), max(address),
					count(DISTINCT id) FILTER (WHERE token_id <> '' AND request_id <> ''))
		FROM trail WHERE type = 'replica_promotion_requested'`,
		),
	)
	require.Equal(t, "false", s.value(`SELECT details->'asked'->>'wait_for_sync' FROM trail WHERE outcome = 'intent'`))

	require.Equal(t, 404, s.call(s.beta, "POST", promote, `{}`).status)
	require.Equal(t, "intent done intent refused", acts(), "another tenant's")
	s.wf.fails(workflows.Unreachable.New("away"))
	require.Equal(t, 503, s.call(ci, "POST", promote, `{}`).status)
	require.Equal(t, "intent done intent refused intent failed", acts())
	require.Equal(t, 403, s.call(ci, "POST", "/api/admin/clients/create", `{"name":"Gamma"}`).status)
	require.Equal(t, "refused auth.operators_only",
		s.value(`SELECT outcome || ' ' || (details->>'code') FROM trail WHERE type = 'createClient'`))
	require.Equal(t, "1", s.value(`SELECT count(*)::text FROM events WHERE type = 'replica_promotion_requested'`),
		"pages show what was done")

	s.call(s.acme, "DELETE", "/api/client/c1/credentials/none", `{"token":"hidden","note":"shown"}`)
	require.Equal(
		t,
		"*** shown",
		s.value(
			`
				SELECT (details->'asked'->>'token') || ' ' || (details->'asked'->>'note')
				FROM trail
				WHERE type = 'revokeCredential'`,
		),
	)
	_, _, err := (&audit.Trail{DB: s.db}).Verify(t.Context())
	require.NoError(t, err)
}

func TestReadingATokenIsAudited(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.call(operatorToken, "GET", "/api/admin/clients/c1/token", "").holds(t, 200, `{}`)
	require.Equal(t, "operator:ops", s.value(`SELECT actor FROM events WHERE type = 'token_read' AND client_id = 'c1'`))
	require.Equal(
		t,
		"1",
		s.value(
			`
				SELECT count(*)::text
				FROM notifications
				WHERE client_id = 'c1' AND message LIKE '%was shown to operator:ops'`,
		),
	)
}

// TestEachReadingOfATokenIsAudited, also of two operators at once.
func TestEachReadingOfATokenIsAudited(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	var reading sync.WaitGroup
	for range 20 {
		reading.Go(func() {
			req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/admin/clients/c1/token", http.NoBody)
			req.Header.Set("Authorization", "Bearer "+operatorToken)
			s.handler.ServeHTTP(httptest.NewRecorder(), req)
		})
	}
	reading.Wait()
	require.Equal(t, "20", s.value(`SELECT count(*)::text FROM events WHERE type = 'token_read'`))
}
