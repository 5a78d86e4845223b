package rest_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/api/rest"
)

// TestEveryMemberOfAnAnswerIsRead asks for a test that reads each member of each answer:
// its name stands in a test of the API, or in a golden file of testdata.
func TestEveryMemberOfAnAnswerIsRead(t *testing.T) {
	t.Parallel()
	read := wordsOfTests(t)
	for _, name := range answerMembers(t) {
		require.True(t, read[name], "no test reads the member %q of an answer: see \"an endpoint\" in CONTRIBUTING.md", name)
	}
}

// wordsOfTests are the words of all tests and golden files of the API.
func wordsOfTests(t *testing.T) map[string]bool {
	t.Helper()
	word := regexp.MustCompile(`\w+`)
	words := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if entry.Name() == "console" || entry.Name() == "fuzz" {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, "_test.go") && !strings.Contains(path, "testdata") {
			return nil
		}
		text, err := os.ReadFile(path) //nolint:gosec // a test of this repository
		for _, w := range word.FindAllString(string(text), -1) {
			words[w] = true
		}
		return err
	})
	require.NoError(t, err)
	return words
}

// answerMembers are the names of all members of all answers, as api/openapi.json has them.
func answerMembers(t *testing.T) []string {
	t.Helper()
	file, err := os.ReadFile("../openapi.json")
	require.NoError(t, err)
	var document map[string]any
	require.NoError(t, json.Unmarshal(file, &document))
	schemas := document["components"].(map[string]any)["schemas"].(map[string]any)
	names, seen := map[string]bool{}, map[string]bool{}
	var walk func(node any)
	walk = func(node any) {
		switch node := node.(type) {
		case []any:
			for _, n := range node {
				walk(n)
			}
		case map[string]any:
			if ref, ok := node["$ref"].(string); ok && !seen[ref] {
				seen[ref] = true
				walk(schemas[strings.TrimPrefix(ref, "#/components/schemas/")])
			}
			properties, _ := node["properties"].(map[string]any)
			for name, schema := range properties {
				names[name] = true
				walk(schema)
			}
			for key, n := range node {
				if key != "properties" {
					walk(n)
				}
			}
		}
	}
	for _, path := range document["paths"].(map[string]any) {
		for _, operation := range path.(map[string]any) {
			if o, ok := operation.(map[string]any); ok {
				walk(o["responses"])
			}
		}
	}
	require.Greater(t, len(names), 400)
	return slices.Sorted(maps.Keys(names))
}

// TestRequirementMembers: what a client requires is answered as it was set.
func TestRequirementMembers(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const set = `{"min_vcpus": 2, "max_vcpus": 8, "min_memory_mib": 4096, "max_memory_mib": 32768, "architecture": "arm64",
		"burstable": false, "accelerators": 0, "local_storage": true, "current_generation": true, "include": ["m6gd.*"],
		"exclude": ["m6gd.metal"]}`
	for method, body := range map[string]string{"PUT": set, "GET": ""} {
		if method == "GET" {
			s.call(s.acme, "PUT", "/api/client/c1/requirements", set)
		}
		got := s.call(s.acme, method, "/api/client/c1/requirements", body)
		require.Equal(t, 200, got.status, got.raw)
		require.JSONEq(t, `{"client_id": "c1", "requirements": `+set+`}`, got.raw, method)
	}
}

// TestNotificationMembers: a cause that came again is one notification with its count.
func TestNotificationMembers(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(`DELETE FROM notifications`) // those of the clients that were made
	s.exec(`INSERT INTO notifications (id, client_id, message, severity, created_at, occurrences, last_at)
		VALUES ('n', 'c1', 'x', 'warning', '2026-03-01T00:00:01Z', 3, '2026-03-01T00:00:02Z')`)
	got := s.call(s.acme, "GET", "/api/notifications", "")
	require.JSONEq(t, `[{"id": "n", "message": "x", "severity": "warning", "isRead": false, "time": "2026-03-01T00:00:01Z",
		"occurrences": 3, "lastAt": "2026-03-01T00:00:02Z"}]`, got.raw)
}

// TestDependencyMembers: each dependency with what is wrong with it, and what the service
// is without it.
func TestDependencyMembers(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.handler = s.another(t, func(d *rest.Deps) {
		d.Probes = []rest.Probe{
			{Name: "postgres", Check: func(context.Context) error { return nil }},
			{Name: "engine", Degrades: true, Check: func(context.Context) error { return errors.New("no engine") }},
		}
	})
	got := s.call(operatorToken, "GET", "/api/admin/dependencies", "")
	dependencies := got.body["dependencies"].([]any)
	require.Len(t, dependencies, 2, got.raw)
	for n, want := range []map[string]any{
		{"name": "postgres", "ok": true, "degrades": false, "error": nil},
		{"name": "engine", "ok": false, "degrades": true, "error": "no engine"},
	} {
		found := dependencies[n].(map[string]any)
		for member, value := range want {
			require.Equal(t, value, found[member], "%s of %v", member, found)
		}
	}
}
