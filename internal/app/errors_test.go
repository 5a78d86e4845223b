package app

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/fault"
)

var update = flag.Bool("update", false, "rewrite golden files")

// TestErrorsDocumentIsCurrent holds docs/errors.md to the registry. This package
// links every other, so here the registry is whole.
func TestErrorsDocumentIsCurrent(t *testing.T) {
	t.Parallel()

	golden := filepath.Join("..", "..", "docs", "errors.md")
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(errorsDocument()), 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), errorsDocument(), "run `make generate`")
}

func errorsDocument() string {
	reactions := map[fault.Kind]string{
		fault.Internal:     "retried, alerted on",
		fault.Unavailable:  "retried",
		fault.Exhausted:    "asked elsewhere",
		fault.Invalid:      "final",
		fault.Unauthorized: "final",
		fault.Forbidden:    "final",
		fault.NotFound:     "final",
		fault.Conflict:     "final",
		fault.TooLarge:     "final",
		fault.Limited:      "final",
	}
	var b strings.Builder
	b.WriteString(
		"# Error codes\n\nEvery error of the API is `{\"error\": \"<one sentence>\", \"code\": \"<code>\"}`, with further members for some. The code's kind decides the\n" +
			"HTTP status and what a workflow does about it. Codes are API: they are not renamed.\n\n| code | status | in a workflow |\n|---|---|---|\n",
	)
	for _, code := range fault.Codes() {
		if strings.HasPrefix(string(code), "test.") {
			continue
		}
		fmt.Fprintf(&b, "| `%s` | %d | %s |\n", code, web.StatusOf(code), reactions[code.Kind()])
	}
	return b.String()
}
