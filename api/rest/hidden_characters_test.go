package rest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/api/web"
)

// hidden are texts that people would misread: an order that is reversed, a letter that is not
// shown, a line of its own, and a command to a terminal.
var hidden = []string{"web\u202e1", "web\u200b1", "web\n1", "web\x1b[2J1"}

// TestPeoplesRoutesRefuseHiddenCharacters sends such a text as each text of each body that is
// not an agent's.
func TestPeoplesRoutesRefuseHiddenCharacters(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	tried := 0
	for _, r := range s.deps.Routes() {
		if r.IsOfAgents() || r.Method == http.MethodGet || r.Endpoint.IsStream() {
			continue
		}
		for name, typed := range textMembers(r.Endpoint.In) {
			for _, text := range hidden {
				if r.ID == "joinAgentByDocument" && name == "signature" && strings.Contains(text, "\n") {
					continue // it has lines, as the metadata service answers it
				}
				var value any = text
				if typed.Kind() == reflect.Slice {
					value = []string{text}
				}
				body, err := json.Marshal(map[string]any{name: value})
				require.NoError(t, err)
				path := strings.NewReplacer(":agent_id", "a1", ":client_id", "c1", ":", "").Replace(r.Path)
				got := s.call(operatorToken, r.Method, path, string(body))
				require.Equal(t, http.StatusBadRequest, got.status, "%s %s %q: %s", r.Method, r.Path, text, got.raw)
				require.Contains(t, got.raw, "not shown", "%s %s %s", r.Method, r.Path, name)
				tried++
			}
		}
	}
	require.Greater(t, tried, 100)
	require.Empty(t, s.hiddenTexts())
}

// textMembers are the texts and lists of texts of a body, by name.
func textMembers(in reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for i := range in.NumField() {
		f := in.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		kind := f.Type
		for kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		switch {
		case f.Anonymous && kind.Kind() == reflect.Struct:
			for inner, typed := range textMembers(kind) {
				out[inner] = typed
			}
		case name == "" || name == "-" || kind == reflect.TypeFor[web.Mode]():
		case kind.Kind() == reflect.String,
			kind.Kind() == reflect.Slice && kind.Elem().Kind() == reflect.String:
			out[name] = kind
		}
	}
	return out
}

// TestAgentsReportsAreCleaned sends such texts in reports of agents: what is reported is kept,
// and nothing that is stored has a hidden character. The agent's own name is refused, because
// a replacement could be another agent's.
func TestAgentsReportsAreCleaned(t *testing.T) {
	t.Parallel()
	for _, text := range hidden {
		s := newStack(t)
		s.exec(readyRow)
		quoted := func(format string) string {
			q, err := json.Marshal(text)
			require.NoError(t, err)
			format = strings.ReplaceAll(format, `"output":"@"`, strings.ReplaceAll(`"output":`+string(q), "web", `lines\tand`))
			return strings.ReplaceAll(format, `"@"`, string(q))
		}
		const registration = `{"logical_agent_id":%s,"instance_id":"i-new","instance_type":"t3.medium","region":"us-east-1",` +
			`"az":"us-east-1a","mode":"spot","hostname":"@","agent_version":"@","ami_id":"@","private_ip":"@"}`
		s.call(s.acme, "POST", "/api/agents/register", quoted(fmt.Sprintf(registration, `"@"`))).
			holds(t, 400, `{"code":"request.invalid","error":"Validation failed"}`)
		for path, body := range map[string]string{
			"register":          fmt.Sprintf(registration, `"new"`),
			"a1/heartbeat":      `{"status":"online","instance_id":"@","instance_type":"@","az":"@"}`,
			"a1/cleanup-report": `{"snapshots":{"failed":[{"id":"snap-2","@":"@"}]}}`,
			"a1/hook-results": `{"instance_id":"i-1","notice_id":"n","kind":"drain",` +
				`"hooks":[{"name":"@","attempt":1,"exit":3,"seconds":1,"ended_seconds_ago":0,"output":"@"}]}`,
			"a1/pricing-report": `{"instance":{"instance_id":"i-1","region":"us-east-1","az":"us-east-1a","mode":"spot"},` +
				`"pricing":{"on_demand_price":0.04,"spot_pools":[{"pool_id":"t3.medium.us-east-1b","price":0.01},{"pool_id":"@","az":"@","price":0.01}]}}`,
			"a1/replicas/11112222-3333/status": `{"status":"failed","error_message":"@"}`,
			"a2/rebalance-recommendation":      `{"instance_id":"i-2","reason":"@"}`,
			"a2/termination":                   `{"reason":"@"}`,
		} {
			got := s.call(s.acme, "POST", "/api/agents/"+path, quoted(body))
			require.Equal(t, http.StatusOK, got.status, "%s %q: %s", path, text, got.raw)
		}
		s.call(s.acme, "POST", "/api/agents/a1/decide", quoted(`{"instance":{"instance_id":"@"},"pricing":{"spot_pools":["@"]}}`))
		s.call(s.acme, "POST", "/api/agents/a1/replicas",
			quoted(`{"created_by":"@","tags":{"@":"@"},"exclude_zones":["@"],"pool_id":"@"}`))
		for _, asked := range s.wf.asked {
			message, err := json.Marshal(asked)
			require.NoError(t, err)
			require.NotContains(t, string(message), strings.Trim(quoted(`"@"`), `"`), "%T", asked)
		}
		require.Empty(t, s.hiddenTexts(), "%q", text)
		require.NotEmpty(t, s.value(`SELECT coalesce(string_agg(message, '|'), '') FROM events WHERE message LIKE '%web%1%'`),
			"the words themselves are kept")
	}
}

// hiddenTexts are the columns of the database that hold a hidden character.
func (s *stack) hiddenTexts() (found []string) {
	s.t.Helper()
	rows, err := s.db.Pool.Query(s.t.Context(), `
		SELECT format('SELECT %L || %I::text FROM %I WHERE %I::text ~ %L', c.table_name || '.' || c.column_name || ': ',
			c.column_name, c.table_name, c.column_name, '[\u200b\u202e\u001b]|\\u(200b|202e|001b)|web(\n|\\n)1')
		FROM information_schema.columns c
		JOIN information_schema.tables t USING (table_schema, table_name)
		WHERE c.table_schema = 'public'
		AND t.table_type = 'BASE TABLE'
		AND c.data_type IN ('text', 'character varying', 'jsonb', 'json', 'ARRAY')`)
	require.NoError(s.t, err)
	defer rows.Close()
	var statements []string
	for rows.Next() {
		var statement string
		require.NoError(s.t, rows.Scan(&statement))
		statements = append(statements, statement)
	}
	require.NoError(s.t, rows.Err())
	require.Greater(s.t, len(statements), 100)
	texts, err := s.db.Pool.Query(s.t.Context(), strings.Join(statements, " UNION ALL "))
	require.NoError(s.t, err)
	defer texts.Close()
	for texts.Next() {
		var text string
		require.NoError(s.t, texts.Scan(&text))
		found = append(found, text)
	}
	require.NoError(s.t, texts.Err())
	return found
}
