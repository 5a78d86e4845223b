package commandline_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The Temporal server belongs to this module alone: in the product's it would
// decide the versions of half of what the product links.
func TestTheProductDoesNotRequireTheTemporalServer(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join("..", "..", "..", name))
		require.NoError(t, err)
		require.NotContains(t, string(content), "go.temporal.io/server ", name)
	}
}
