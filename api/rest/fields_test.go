package rest_test

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/api/pages"
)

//go:embed testdata/page_fields.txt
var pageFields string

// more is what the page shows and the lived fleet has not.
const more = `
INSERT INTO model_session_files (session_id, position, name, digest, size)
SELECT id, 1, 'model.json', repeat('0', 64), 1
FROM model_sessions;
INSERT INTO price_buckets (pool_id, bucket, price, ondemand_price, source_type, confidence, observed_at)
	SELECT 't3.medium.us-east-1b', bucket, 0.0104, ondemand_price, source_type, confidence, observed_at
	FROM price_buckets;
UPDATE agents SET hostname = 'h1', agent_version = '4.0.0' WHERE id IN ('a1', 'b1');
INSERT INTO agents (id, client_id, logical_agent_id, status, launcher, keeping, terminated_at)
VALUES ('a0', 'c1', 'web-0', 'deleted', 'agent', 'manual', now());
UPDATE replicas
SET ready_at = now(), sync_status = 'syncing', sync_latency_ms = 12, sync_progress = 40, hourly_cost = 0.0125;
`

// field is one thing that a page reads: the member it is in, its name there
// (empty: the member itself) and its type.
type field struct {
	path, name, kind string
	nullable         bool
}

func (f field) String() string { return f.path + " " + f.name }

// pageRoutes reads the table: the fields by route.
func pageRoutes(t *testing.T) map[string][]field {
	t.Helper()
	out := map[string][]field{}
	route := ""
	for line := range strings.Lines(pageFields) {
		words := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "/"):
			route = words[0]
		default:
			for _, w := range words[1:] {
				name, kind, ok := strings.Cut(w, ":")
				require.True(t, ok, "%s is not a field", w)
				kind, nullable := strings.CutSuffix(kind, "?")
				out[route] = append(out[route], field{path: words[0], name: name, kind: kind, nullable: nullable})
			}
		}
	}
	return out
}

// members are the values at a path. A null value on the path has no members; its own line
// says that it may be null.
func members(v any, path string) []any {
	found := []any{v}
	for _, step := range strings.Split(path, ".") {
		var next []any
		for _, x := range found {
			switch list, isList := x.([]any); {
			case step == "":
				next = append(next, x)
			case step == "[]" && isList:
				next = append(next, list...)
			case step != "[]":
				if m, ok := x.(map[string]any); ok && m[step] != nil {
					next = append(next, m[step])
				}
			}
		}
		found = next
	}
	return found
}

// fits says what is wrong with a field of an answer. One that may be null must
// still show its type somewhere.
func (f field) fits(answer any) error {
	owners, shown := members(answer, f.path), false
	for _, owner := range owners {
		v := owner
		if f.name != "" {
			m, ok := owner.(map[string]any)
			if !ok {
				return fmt.Errorf("%s is not an object", f.path)
			}
			if v, ok = m[f.name]; !ok {
				return fmt.Errorf("%s is missing", f)
			}
		}
		if v == nil && f.nullable {
			continue
		}
		if !isOf(v, f.kind) {
			return fmt.Errorf("%s is %v and not %s", f, v, f.kind)
		}
		shown = true
	}
	if !shown {
		return fmt.Errorf("nothing shows %s", f)
	}
	return nil
}

func isOf(v any, kind string) bool {
	got := ""
	switch v := v.(type) {
	case string:
		if kind == "date" {
			return slices.ContainsFunc([]string{time.RFC3339, time.DateOnly}, func(layout string) bool {
				_, err := time.Parse(layout, v)
				return err == nil
			})
		}
		got = "str"
	case float64:
		got = "num"
	case bool:
		got = "bool"
	case []any:
		got = "arr"
	case map[string]any:
		got = "obj"
	}
	return got == kind || kind == "scalar" && (got == "str" || got == "num")
}

// TestPagesHaveEveryFieldThatIsRead goes through what the page reads, field by
// field, with its type: a missing one is a white screen. What makes the test
// able to fail is shown on each answer: without the field, with null for it, and
// with an object for what is printed, it does.
func TestPagesHaveEveryFieldThatIsRead(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for _, rows := range []string{lived, readyRow, someSessions, more} {
		s.exec(rows)
	}
	s.deps.AdminPages.Engine = func(context.Context) pages.EngineStatus {
		return pages.EngineStatus{Loaded: true, Type: "models", Version: "s-live", Models: pages.ModelStatus{
			Loaded:  true,
			Name:    "risk",
			Version: "s-live",
			Active:  []pages.ActiveModel{{Name: "risk", Version: "s-live", Active: true}},
		}}
	}
	routes := pageRoutes(t)
	require.GreaterOrEqual(t, len(routes), 23)

	for route, fields := range routes {
		t.Run(route, func(t *testing.T) {
			tokens := []string{operatorToken}
			if strings.HasPrefix(route, "/api/admin/") {
				s.call(s.acme, "GET", route, "").holds(t, 403, `{}`)
			} else {
				tokens = append(tokens, s.acme)
			}
			for _, token := range tokens {
				got := s.call(token, "GET", route, "")
				for _, f := range fields {
					require.NoError(t, f.fits(got.is(t, 200)), got.raw)
					require.Error(t, f.fits(spoiled(got.is(t, 200),
						f, func(m map[string]any) { delete(m, f.name) })), "without %s", f)
					require.Error(t, f.fits(spoiled(got.is(t, 200),
						f, func(m map[string]any) { m[f.name] = nil })), "with null for %s", f)
					if f.kind != "obj" {
						require.Error(t, f.fits(spoiled(
							got.is(t, 200),
							f,
							func(m map[string]any) { m[f.name] = map[string]any{"Valid": true} },
						)), "with an object for %s", f)
					}
				}
			}
		})
	}
	// A standby has not ended, so this one never shows its type.
	for _, standby := range members(s.call(s.acme, "GET", "/api/client/c1/replicas", "").is(t, 200), "[].replica") {
		require.Contains(t, standby, "terminated_at")
	}
}

// spoiled changes a field in every element that has it. What has no name is the
// element itself, and goes with its list.
func spoiled(answer any, f field, change func(map[string]any)) any {
	if f.name == "" {
		return nil
	}
	for _, m := range members(answer, f.path) {
		change(m.(map[string]any))
	}
	return answer
}

func (a answer) is(t *testing.T, status int) any {
	t.Helper()
	require.Equal(t, status, a.status, a.raw)
	var v any
	require.NoError(t, json.Unmarshal([]byte(a.raw), &v))
	return v
}
