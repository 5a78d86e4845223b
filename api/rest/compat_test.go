package rest_test

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/api/rest"
	"spotkeeper/api/web"
	"spotkeeper/internal/testkit/legacytest"
)

// TestCompatTableNamesRoutes holds the tables of docs/http-compat.md to the
// routes: each row is about one that is served, gives a reason, and can be
// reached. That each is needed is shown on the whole stack (deploy/dev/e2e).
func TestCompatTableNamesRoutes(t *testing.T) {
	t.Parallel()

	params := regexp.MustCompile(`<\w+>|\{\w+\}`)
	served := map[string]bool{}
	for _, r := range (rest.Deps{}).Routes() {
		served[r.Method+" "+params.ReplaceAllString(web.DocumentPath(r), "{}")] = true
	}
	table, err := legacytest.LoadTable("../../docs/http-compat.md", "agent")
	require.NoError(t, err)
	require.NotEmpty(t, table)
	whole := map[string]bool{}
	for _, row := range table {
		require.True(t, served[params.ReplaceAllString(row.Route, "{}")], "%s is not served", row.Route)
		require.Regexp(t, `^(=|[1-5]\d\d)$`, row.Status, row)
		require.NotEmpty(t, row.Reason, row)
		require.False(t, whole[row.Route], "a row after the * of its route is never read: %v", row)
		whole[row.Route] = row.Case == "*"
	}
}
