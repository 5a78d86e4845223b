package cli_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/cli"
)

// TestThePageKnowsEveryCommand holds docs/cli.md to the commands there are.
func TestThePageKnowsEveryCommand(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/cli.md")
	require.NoError(t, err)
	for _, c := range cli.New().Commands() {
		require.Regexp(t, "(?m)^\\| .*`"+c.Name()+"[ `]", string(page), "docs/cli.md lacks %s", c.Name())
	}
}
