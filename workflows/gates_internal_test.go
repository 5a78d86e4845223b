package workflows

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	must "github.com/stretchr/testify/require"

	"spotkeeper/internal/testkit/histories"
)

// TestAnAnswerGoesOutBeforeTheNextStandby holds what guardianAnswersFirst is for: in
// a recorded failover the workflow task that changed the roles ends there.
func TestAnAnswerGoesOutBeforeTheNextStandby(t *testing.T) {
	t.Parallel()

	recorded, err := histories.Load(filepath.Join("testdata", "histories", "guardian"))
	must.NoError(t, err)
	followed := 0
	for file, h := range recorded {
		if !slices.Contains(histories.Gates(h), guardianAnswersFirst) {
			continue
		}
		tasks := histories.LocalSteps(h)
		changed := slices.IndexFunc(tasks, func(task []string) bool { return slices.Contains(task, "ChangeRoles") })
		must.GreaterOrEqual(t, changed, 0, file)
		must.Equal(t, "ChangeRoles", tasks[changed][len(tasks[changed])-1], file)
		for _, task := range tasks[changed+1:] {
			if slices.Contains(task, "OpenReplica") {
				followed++
				break
			}
		}
	}
	must.Positive(t, followed, "no recorded failover decided on a standby afterwards")
}

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
