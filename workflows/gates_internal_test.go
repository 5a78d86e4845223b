package workflows

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	must "github.com/stretchr/testify/require"

	"spotkeeper/internal/testkit/histories"
)

// TestEachGateHasAHistory of a run that passed it, and there is no other way to a
// version.
func TestEachGateHasAHistory(t *testing.T) {
	t.Parallel()

	recorded := map[string]int{}
	for _, kind := range histories.Registered(Register) {
		of, err := histories.Load(filepath.Join("testdata", "histories", kind))
		must.NoError(t, err)
		for _, h := range of {
			for _, gate := range histories.Gates(h) {
				recorded[gate]++
			}
		}
	}
	for _, gate := range gates {
		must.Positive(t, recorded[gate], "record a history that passes %s: make histories", gate)
	}
	sources, err := filepath.Glob("*.go")
	must.NoError(t, err)
	for _, file := range sources {
		source, err := os.ReadFile(file)
		must.NoError(t, err)
		if file != "gates.go" && !strings.HasSuffix(file, "_test.go") {
			must.NotContains(t, string(source), "GetVersion", file)
		}
	}
}
