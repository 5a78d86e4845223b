package pages

import (
	"encoding/json"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestComponentsAreModulesOfOthers: a module that replaces another one is named, and a directory of this repository
// is no component.
func TestComponentsAreModulesOfOthers(t *testing.T) {
	t.Parallel()
	got := componentsOf([]*debug.Module{
		{Path: "github.com/gin-gonic/gin", Version: "v1.11.0", Sum: "h1:a="},
		{Path: "example.com/old", Version: "v1.0.0", Replace: &debug.Module{Path: "example.com/new", Version: "v1.0.1", Sum: "h1:b="}},
		{Path: "spotkeeper", Version: "v0.0.0", Replace: &debug.Module{Path: "../.."}},
	})
	written, err := json.Marshal(got)
	require.NoError(t, err)
	require.JSONEq(t, `[{"name":"github.com/gin-gonic/gin","version":"v1.11.0","sum":"h1:a=",
		"licence_url":"https://pkg.go.dev/github.com/gin-gonic/gin@v1.11.0?tab=licenses"},
		{"name":"example.com/new","version":"v1.0.1","sum":"h1:b=",
		"licence_url":"https://pkg.go.dev/example.com/new@v1.0.1?tab=licenses"}]`, string(written))
	require.NotNil(t, componentsOf(nil), "an answer without components has an empty list")
}
