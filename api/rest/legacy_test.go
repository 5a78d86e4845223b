package rest_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/testkit/legacytest"
	"spotkeeper/internal/testkit/postgrestest"
)

// ofAgents are the routes that agents and installers call, which the API answers
// from Postgres alone. The others are replayed on the whole stack (deploy/dev/e2e).
var ofAgents = map[string]bool{
	"GET /api/agents/<agent_id>/config":                          true,
	"GET /api/agents/<agent_id>/pending-commands":                true,
	"GET /api/agents/<agent_id>/replica-config":                  true,
	"GET /api/agents/<agent_id>/switch-recommendation":           true,
	"GET /api/client/validate":                                   true,
	"GET /health":                                                true,
	"POST /api/agents/<agent_id>/cleanup-report":                 true,
	"POST /api/agents/<agent_id>/commands/<command_id>/executed": true,
	"POST /api/agents/<agent_id>/decide":                         true,
	"POST /api/agents/<agent_id>/heartbeat":                      true,
	"POST /api/agents/<agent_id>/issue-switch-command":           true,
	"POST /api/agents/<agent_id>/pricing-report":                 true,
	"POST /api/agents/<agent_id>/rebalance-recommendation":       true,
	"POST /api/agents/<agent_id>/switch-report":                  true,
	"POST /api/agents/<agent_id>/termination":                    true,
	"POST /api/agents/register":                                  true,
	"_misc":                                                      true,
}

// TestLegacyContract replays what was recorded of the legacy backend's agent
// routes, and brings about what other routes did between them. Differences that
// are meant are listed in docs/http-compat.md.
func TestLegacyContract(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"all", "agent"} { // clients from before, and new ones
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			// The processes need no right to change tables.
			playContract(t, newStackOn(t, postgrestest.OpenAs(t, "spotkeeper_app", "../../deploy/postgres/roles.sql")), mode)
		})
	}
}

func playContract(t *testing.T, s *stack, mode string) {
	t.Helper()
	s.exec(`UPDATE clients SET legacy_token = $1`, mode)
	table, err := legacytest.LoadTable("../../docs/http-compat.md", "")
	require.NoError(t, err)
	recordings, err := legacytest.Load("testdata/legacy.jsonl")
	require.NoError(t, err)
	r := &replay{
		stack: s,
		meant: table,
		names: legacytest.Names{"token1": s.acme, "token2": s.beta, "client1": "c1", "client2": "c2"},
	}
	s.exec(`UPDATE clients SET email = 'ops@acme.test' WHERE id = 'c1'`)
	s.exec(
		`
			INSERT INTO clients (id, name, email, token_hash, token_sealed)
			VALUES ('c3', 'Gone', 'g@x.test', '\x01', '\x01')`,
	)
	r.names["token3"] = "token-of-a-client-that-is-deleted"
	played := 0
	for _, c := range recordings {
		if !ofAgents[c.Route] {
			continue
		}
		played++
		r.before(c)
		r.play(t, c)
	}
	require.Greater(t, played, 200)
}

type replay struct {
	*stack
	meant legacytest.Table
	names legacytest.Names
}

// before brings about what other routes did between the recordings.
func (r *replay) before(c legacytest.Recording) {
	switch {
	case c.Route == "POST /api/agents/<agent_id>/commands/<command_id>/executed" && c.Case == "good: success":
		for i, status := range []string{"pending", "cancelled", "cancelled"} {
			id := fmt.Sprintf("cmd%d", i+1)
			r.names[id] = "command-" + id
			r.exec(
				`
					INSERT INTO commands (id, client_id, agent_id, instance_id, launcher, target_mode, status)
					VALUES ($1, 'c1', $2, 'i-x', 'agent', 'ondemand', $3)`,
				r.names[id],
				r.names["agent1"],
				status,
			)
		}
	case strings.Contains(c.Path, "{{cmd2}}"), strings.Contains(c.Path, "{{cmd3}}") && c.Case == "good: defaults":
		r.exec(
			`UPDATE commands SET status = 'cancelled', executed_at = NULL WHERE agent_id = $1 AND status = 'pending'`,
			r.names["agent1"],
		)
		r.exec(`UPDATE commands SET status = 'pending' WHERE id = $1`,
			r.names[c.Path[strings.LastIndex(c.Path, "{{")+2:strings.LastIndex(c.Path, "}}")]])
	case c.Case == "agent disabled":
		r.exec(`UPDATE agents SET enabled = false WHERE id = $1`, r.names["agent2"])
	case c.Case == "auto switch off":
		r.exec(`UPDATE agents SET enabled = true, keeping = 'off' WHERE id = $1`, r.names["agent2"])
	case c.Case == "after both on":
		r.exec(`UPDATE agents SET keeping = 'manual', terminate_wait_seconds = 420 WHERE id = $1`, r.names["agent6"])
	case c.Case == "a deleted agent's heartbeat revives it":
		r.exec(`UPDATE agents SET status = 'deleted', enabled = false, keeping = 'off' WHERE id = $1`,
			r.names["agent5"])
	case c.Case == "old token after regeneration":
		fresh := r.call(operatorToken, "POST", "/api/admin/clients/c2/regenerate-token", "")
		r.names["token2_new"] = fresh.body["token"].(string)
		r.exec(`UPDATE clients SET name = 'Beta Corp', email = 'beta_corp@example.com' WHERE id = 'c2'`)
	}
}

func (r *replay) play(t *testing.T, c legacytest.Recording) {
	t.Helper()
	body := ""
	if c.Body != nil {
		// Prices are believed for a month; the recordings are older some day.
		yesterday := time.Now().UTC().Add(-24 * time.Hour).Format(time.DateOnly)
		body = strings.ReplaceAll(r.names.Fill(*c.Body), "2026-11-22", yesterday)
	}
	req := httptest.NewRequestWithContext(t.Context(), c.Method, r.names.Fill(c.Path), strings.NewReader(body))
	if c.ContentType != "" {
		req.Header.Set("Content-Type", c.ContentType)
	}
	if c.Authorization != nil {
		req.Header.Set("Authorization", r.names.Fill(*c.Authorization))
	}
	rec := httptest.NewRecorder()
	r.handler.ServeHTTP(rec, req)
	r.names.Learn(c, rec.Body.Bytes())
	row := r.meant.Find(c)
	if strings.Contains(c.Path, "{{cmd2}}") || strings.Contains(c.Path, "{{cmd3}}") && c.Case == "good: defaults" {
		row = -1 // a whole recording lacks these commands, and this one does not
	}
	if row >= 0 {
		require.True(t, r.meant[row].Allows(c, rec.Code), "%s: %d %s", c.Name(), rec.Code, rec.Body)
	} else if verdict, why := legacytest.Judge(c, r.names, rec.Code, rec.Body.Bytes()); verdict == legacytest.Differs {
		require.Fail(t, c.Name(), why)
	}
	if rec.Code >= 400 {
		var got map[string]any
		require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &got), c.Name())
		require.NotEmpty(t, got["error"], c.Name())
		require.NotEmpty(t, got["code"], c.Name())
	}
}
