package rest_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/api/rest"
	"spotkeeper/api/web"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/testkit/legacytest"
)

const operationNotes = "../web/operations.txt"

type placedRoute struct {
	route web.Route
	path  *regexp.Regexp
}

var placedRoutes = sync.OnceValue(func() []placedRoute {
	out := []placedRoute{}
	for _, r := range (rest.Deps{}).Routes() {
		path := regexp.MustCompile(`:\w+`).ReplaceAllString(regexp.QuoteMeta(r.Path), `[^/?]+`)
		path = regexp.MustCompile(`\\\*\w+`).ReplaceAllString(path, `[^?]+`)
		out = append(out, placedRoute{route: r, path: regexp.MustCompile(`^` + path + `(\?.*)?$`)})
	}
	// A path with a literal segment goes before one with a parameter in its place.
	slices.SortStableFunc(out, func(a, b placedRoute) int {
		return strings.Count(a.route.Path, ":") - strings.Count(b.route.Path, ":")
	})
	return out
})

func routeAt(method, path string) (web.Route, bool) {
	for _, p := range placedRoutes() {
		if p.route.Method == method && p.path.MatchString(path) {
			return p.route, true
		}
	}
	return web.Route{}, false
}

func operationAt(method, path string) string {
	r, _ := routeAt(method, path)
	return r.ID
}

// seenCodes is filled with -update: what the tests of this package were refused with.
var seenCodes struct {
	sync.Mutex
	byRoute map[string]map[fault.Code]bool
	legacy  map[string]bool // ids of the routes of the recorded contract
}

// requireDocumented: the document names each code that a test expects of a route.
func requireDocumented(t *testing.T, a answer) {
	t.Helper()
	code := fault.Code(a.body["code"].(string))
	if a.route == "" || !web.OwnCode(code) {
		return
	}
	if *update {
		seenCodes.Lock()
		defer seenCodes.Unlock()
		if seenCodes.byRoute == nil {
			seenCodes.byRoute = map[string]map[fault.Code]bool{}
		}
		if seenCodes.byRoute[a.route] == nil {
			seenCodes.byRoute[a.route] = map[fault.Code]bool{}
		}
		seenCodes.byRoute[a.route][code] = true
		return
	}
	for _, r := range (rest.Deps{}).Routes() {
		if r.ID == a.route {
			require.Contains(t, r.Refuses(), code, "%s: go test ./api/rest -update, then make generate", a.route)
		}
	}
}

// TestTheDocumentNamesCodesAndLegacyRoutes holds operations.txt to the registry of codes and to the
// recorded contract.
func TestTheDocumentNamesCodesAndLegacyRoutes(t *testing.T) {
	t.Parallel()

	recordings, err := legacytest.Load("testdata/legacy.jsonl")
	require.NoError(t, err)
	legacy := map[string]bool{}
	for _, r := range recordings {
		if id := operationAt(r.Method, r.Path); id != "" {
			legacy[id] = true
		}
	}
	require.Greater(t, len(legacy), 50)
	if *update {
		seenCodes.Lock()
		defer seenCodes.Unlock()
		seenCodes.legacy = legacy
		return
	}
	for _, r := range (rest.Deps{}).Routes() {
		require.Equal(t, legacy[r.ID], r.IsLegacy(), "%s: go test ./api/rest -update", r.ID)
		for _, code := range r.Refuses() {
			require.Contains(t, fault.Codes(), code, r.ID)
		}
	}
}

// writeNotes rewrites operations.txt after all tests: codes that were seen are added to those that are known.
func writeNotes() error {
	seenCodes.Lock()
	defer seenCodes.Unlock()
	if seenCodes.legacy == nil {
		return nil // not this time
	}
	return os.WriteFile(operationNotes, notesOf(func(r web.Route) (bool, []fault.Code) {
		codes := slices.Collect(maps.Keys(seenCodes.byRoute[r.ID]))
		return seenCodes.legacy[r.ID], append(codes, r.Refuses()...)
	}), 0o600)
}

func notesOf(about func(web.Route) (bool, []fault.Code)) []byte {
	lines := []string{}
	for _, r := range (rest.Deps{}).Routes() {
		legacy, codes := about(r)
		mark, words := "", []string{}
		if legacy {
			mark = "legacy"
		}
		for _, code := range codes {
			words = append(words, string(code))
		}
		slices.Sort(words)
		if words = slices.Compact(words); legacy || len(words) > 0 {
			lines = append(lines, r.ID+" | "+mark+" | "+strings.Join(words, " "))
		}
	}
	slices.Sort(lines)
	head := "# operationId | legacy, or empty | codes of its own. Rewritten by go test ./api/rest -update.\n"
	return []byte(head + strings.Join(lines, "\n") + "\n")
}
