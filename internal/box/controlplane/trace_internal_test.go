package controlplane

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTraceparentsAreOfTheW3CsForm, and no two alike.
func TestTraceparentsAreOfTheW3CsForm(t *testing.T) {
	t.Parallel()
	first, second := withTrace(t.Context()).Value(traceKey{}), withTrace(t.Context()).Value(traceKey{})
	require.Regexp(t, `^00-[0-9a-f]{32}-[0-9a-f]{16}-01$`, first)
	require.NotEqual(t, first, second)
}
