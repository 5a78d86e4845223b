package rest_test

import (
	"encoding/csv"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func (s *stack) table(t *testing.T, token, path string) (rows [][]string, link string) {
	t.Helper()
	got := s.call(token, "GET", path, "")
	require.Equal(t, 200, got.status, got.raw)
	require.Contains(t, got.header.Get("Content-Type"), "text/csv")
	rows, err := csv.NewReader(strings.NewReader(got.raw)).ReadAll()
	require.NoError(t, err)
	return rows, got.header.Get("Link")
}

// TestTheAuditIsExported: a table has what the list has, by the same filter; a tenant's has nothing of others, and no
// name is a formula to a spreadsheet.
func TestTheAuditIsExported(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(`TRUNCATE events`)
	s.exec(`INSERT INTO events (client_id, agent_id, type, actor, message, metadata, created_at) VALUES
		('c1', 'a1', 'moves_paused', 'operator:ops', '=1+1, "quoted"', '{"after":{"minutes":5}}', '2026-03-01T10:00:00Z'),
		('c1', NULL, 'agent_registered', 'system', 'registered', '{}', '2026-03-02T10:00:00Z'),
		('c2', NULL, 'moves_paused', 'client:Beta', 'of the other', '{}', '2026-03-03T10:00:00Z')`)

	rows, link := s.table(t, operatorToken, "/api/events.csv")
	require.Len(t, rows, 4)
	require.Empty(t, link)
	require.Equal(t, []string{"at", "type", "severity", "actor", "message", "client_id", "client_name", "agent_id", "agent_name",
		"metadata"}, rows[0][1:])
	require.Equal(t, []string{"2026-03-01T10:00:00.000Z", "moves_paused", "info", "operator:ops", `'=1+1, "quoted"`, "c1", "Acme",
		"a1", "web-1", `{"after": {"minutes": 5}}`}, rows[3][1:])

	own, _ := s.table(t, s.acme, "/api/events.csv?client_id=c2")
	require.Len(t, own, 3)
	for _, row := range own[1:] {
		require.Equal(t, "c1", row[6])
	}
	for path, want := range map[string]int{
		"by=people": 2, "type=moves_paused": 2, "q=QUOTED": 1, "agent_id=a1": 1, "since=2026-03-02": 2, "until=2026-03-02": 1,
		"since=2026-03-02T10:00:00Z&until=2026-03-02T10:00:00.001Z": 1, "client_id=c2": 1,
	} {
		rows, _ := s.table(t, operatorToken, "/api/events.csv?"+path)
		require.Len(t, rows, want+1, path)
		require.Len(t, s.call(operatorToken, "GET", "/api/events?"+path, "").body["events"], want, path)
	}
	s.call(operatorToken, "GET", "/api/events.csv?since=yesterday", "").holds(t, 400,
		`{"details":{"since":["Not a day such as 2026-11-30, nor a moment such as 2026-11-30T08:00:00Z."]}}`)
	s.call(operatorToken, "GET", "/api/events.csv?client=c1", "").holds(t, 400, `{"code":"request.invalid"}`)
}

// TestALongAuditIsExportedInTables of a bounded length, each with the address of the next.
func TestALongAuditIsExportedInTables(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(`TRUNCATE events`)
	s.exec(`INSERT INTO events (client_id, type, message) SELECT 'c1', 'noted', n::text FROM generate_series(1, 100010) n`)

	rows, link := s.table(t, operatorToken, "/api/events.csv?type=noted")
	require.Len(t, rows, 100_001)
	address, found := strings.CutPrefix(strings.TrimSuffix(link, `>; rel="next"`), "<")
	require.True(t, found, link)
	rest, link := s.table(t, operatorToken, address)
	require.Len(t, rest, 11)
	require.Empty(t, link)
	require.Equal(t, "11", rows[100_000][5])
	require.Equal(t, "10", rest[1][5])
}

// TestAnExportThatFailsBreaksOff: a program must not take the rows before the failure for the whole table.
func TestAnExportThatFailsBreaksOff(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(`TRUNCATE events`)
	// The oldest event is in the second part, and has a time that no answer can have.
	s.exec(`INSERT INTO events (client_id, type, message, created_at)
		SELECT 'c1', 'noted', n::text, CASE WHEN n = 1 THEN 'infinity'::timestamptz ELSE now() END FROM generate_series(1, 1500) n`)
	server := httptest.NewServer(s.handler)
	defer server.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/api/events.csv", http.NoBody)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+operatorToken)
	got, err := server.Client().Do(req)
	require.NoError(t, err)
	defer got.Body.Close()
	require.Equal(t, 200, got.StatusCode)
	rows, err := io.ReadAll(got.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Equal(t, 1001, strings.Count(string(rows), "\n"))
}
