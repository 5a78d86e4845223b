package rest_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/api/rest"
	"spotkeeper/api/web"
)

// crowded is more of everything than a page of two takes, at equal times as well.
const crowded = `
INSERT INTO clients (id, name, email, token_hash, token_sealed, created_at)
SELECT 'x' || n, 'X' || n, 'x' || n || '@x', sha256(n::text::bytea), '', now() - n / 2 * interval '1 s'
FROM generate_series(1, 5) n;
INSERT INTO agents (id, client_id, logical_agent_id, status, last_heartbeat_at, launcher, keeping)
SELECT 'p' || n, 'c1', 'page-' || n, 'online', now() - n * interval '1 s', 'agent', 'manual'
FROM generate_series(1, 5) n;
INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode, created_at)
SELECT 'i-p' || n, 'c1', 'p' || n, 'primary', 't3.medium', 'us-east-1', 'us-east-1a', 't3.medium.us-east-1a', 'spot',
    now() - n / 2 * interval '1 s'
FROM generate_series(1, 5) n;
INSERT INTO replicas (id, client_id, agent_id, kind, made_for, state, launcher, pool_id, created_by, created_at)
SELECT 'r' || n, 'c1', 'p' || n, 'manual', 'i-p' || n, 'requested', 'agent', 't3.medium.us-east-1b', 'test',
    now() - n / 2 * interval '1 s'
FROM generate_series(1, 5) n;
INSERT INTO switches (id, client_id, agent_id, trigger, phase, old_id, new_id, from_mode, to_mode, initiated_at)
SELECT 'w' || n, 'c1', 'p' || n, 'manual', 'done', 'i-x', 'i-p' || n, 'spot', 'spot', now() - n / 2 * interval '1 s'
FROM generate_series(1, 5) n;
INSERT INTO notifications (id, client_id, message, created_at)
SELECT 'm' || n, 'c1', 'm', now() - n / 2 * interval '1 s'
FROM generate_series(1, 5) n;
INSERT INTO replicas (id, client_id, agent_id, kind, made_for, state, launcher, created_by, created_at, ended_at)
SELECT 'q' || n, 'c1', 'p1', 'manual', 'i-' || n, 'failed', 'agent', 'test', now() - n / 2 * interval '1 s', now()
FROM generate_series(1, 5) n;
INSERT INTO model_sessions (id, kind, state, created_at)
SELECT 's' || n, 'models', 'archived', now() - n / 2 * interval '1 s'
FROM generate_series(1, 5) n;
INSERT INTO events (client_id, agent_id, type, message, created_at)
SELECT 'c1', 'p1', 'x', 'event ' || n, now() - n / 2 * interval '1 s'
FROM generate_series(1, 5) n;
`

// pagedLists are the lists that have pages, and the member that identifies their elements.
var pagedLists = map[string]struct{ path, id string }{
	"listClients":         {"/api/admin/clients", "id"},
	"listActivity":        {"/api/admin/activity", "id"},
	"listAgents":          {"/api/admin/agents", "id"},
	"listReplicas":        {"/api/agents/p1/replicas?include_terminated=true", "id"},
	"listSessions":        {"/api/admin/ml-models/sessions?all=true", "id"},
	"listInstances":       {"/api/admin/instances", "id"},
	"listNotifications":   {"/api/notifications?client_id=c1", "id"},
	"listClientAgents":    {"/api/client/c1/agents", "id"},
	"listAgentHistory":    {"/api/client/c1/agents/history", "id"},
	"listAgentDecisions":  {"/api/client/c1/agents/decisions", "agentId"},
	"listClientInstances": {"/api/client/c1/instances", "id"},
	"listClientReplicas":  {"/api/client/c1/replicas", "agentId"},
	"listSwitches":        {"/api/client/c1/switch-history", "id"},
}

// TestPagesOfAListAreTheList turns the pages of every list that has some: by
// cursor and by link, each element comes once, and in the order of the whole
// list where that does not move by itself.
func TestPagesOfAListAreTheList(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(crowded)
	doc, _ := loadDocument(t)
	documented := 0
	for _, r := range (rest.Deps{}).Routes() {
		if ok := doc.Paths.Value(web.DocumentPath(r)).GetOperation(r.Method).Responses.Status(r.Status); ok != nil &&
			ok.Value.Headers["X-Next-Cursor"] != nil {
			require.Contains(t, pagedLists, r.ID)
			documented++
		}
	}
	require.Equal(t, len(pagedLists), documented)

	for name, l := range pagedLists {
		t.Run(name, func(t *testing.T) {
			path, query, _ := strings.Cut(l.path, "?")
			whole := s.call(operatorToken, "GET", l.path, "")
			all := elements(t, whole, l.id)
			require.Greater(t, len(all), 4, whole.raw)
			require.Empty(t, whole.header.Get("X-Next-Cursor"))
			require.Empty(t, whole.header.Get("Link"))

			var byCursor, byLink []string
			for after, pages := "", 0; ; pages++ {
				require.Less(t, pages, 20)
				page := s.call(operatorToken, "GET", path+"?limit=2&after="+after+"&"+query, "")
				byCursor = append(byCursor, elements(t, page, l.id)...)
				if after = page.header.Get("X-Next-Cursor"); after == "" {
					break
				}
				require.Len(t, elements(t, page, l.id), 2)
			}
			for next := path + "?limit=2&" + query; next != ""; {
				page := s.call(operatorToken, "GET", next, "")
				byLink = append(byLink, elements(t, page, l.id)...)
				next = strings.TrimSuffix(strings.TrimPrefix(page.header.Get("Link"), "<"), `>; rel="next"`)
			}
			require.Equal(t, byCursor, byLink)
			if strings.Contains(name, "Agent") { // by heartbeat when whole, by name in pages
				require.ElementsMatch(t, all, byCursor)
			} else {
				require.Equal(t, all, byCursor)
			}
			for _, q := range []string{"?limit=2&after=nonsense", "?limit=-1", "?limit=many"} {
				require.Equal(t, http.StatusBadRequest, s.call(operatorToken, "GET", path+q, "").status, q)
			}
		})
	}
}

// elements names the elements of a list, whether it is the body or in it.
func elements(t *testing.T, a answer, id string) []string {
	t.Helper()
	require.Equal(t, http.StatusOK, a.status, a.raw)
	list := a.list
	for _, v := range a.body {
		if in, ok := v.([]any); ok {
			list = in
		}
	}
	out := []string{}
	for _, x := range list {
		name, err := json.Marshal(x.(map[string]any)[id])
		require.NoError(t, err)
		out = append(out, string(name))
	}
	return out
}
