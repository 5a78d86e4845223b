package engine

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestPercentagesThatDifferReadDifferently: a veto never says that 1.5% is above 1.5%.
func TestPercentagesThatDifferReadDifferently(t *testing.T) {
	t.Parallel()
	value, limit := inPercent(1.52, 1.5)
	require.Equal(t, []string{"1.52%", "1.50%"}, []string{value, limit})
	value, limit = inPercent(20, 1.5)
	require.Equal(t, []string{"20.0%", "1.5%"}, []string{value, limit})
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Float64Range(0, 100).Draw(t, "limit")
		value := limit + rapid.Float64Range(.00001, 1).Draw(t, "above")
		a, b := inPercent(value, limit)
		require.NotEqual(t, a, b)
	})
}
