package rest

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/api/web"
)

// TestWhatIsSharedOnlyReads: fetching a command leases it to the one who fetches.
func TestWhatIsSharedOnlyReads(t *testing.T) {
	t.Parallel()
	shared := 0
	for _, r := range (Deps{}).withDefaults().Routes() {
		if r.IsShared() {
			shared++
			require.Equal(t, http.MethodGet, r.Method, r.Path)
			require.NotEqual(t, web.Agent, r.Auth, r.Path)
		}
	}
	require.Greater(t, shared, 30)
}
