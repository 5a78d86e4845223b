package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
)

// TestNoticeThroughTwoDoors: in either order it is one notice and one failover, and the
// row says which door was first and which the second.
func TestNoticeThroughTwoDoors(t *testing.T) {
	t.Parallel()
	for _, doors := range [][2]string{{"http", "eventbridge"}, {"eventbridge", "http"}} {
		t.Run(doors[0]+" first", func(t *testing.T) {
			t.Parallel()
			g := guard(t)
			g.heir(replica.Manual, "i-0", "i-1")
			var behind []bool
			for _, door := range []string{doors[0], doors[0], doors[1], doors[1], doors[0]} {
				n := termination("i-0")
				n.Door = door
				got := g.take("", n)
				require.Equal(t, doors[0], got.FirstDoor)
				require.Equal(t, interruption.Promoted, got.Outcome.Result)
				behind = append(behind, got.Behind != nil && *got.Behind > 0)
			}
			require.Equal(t, []bool{false, false, true, false, false}, behind,
				"the lag is of the second door's first arrival")
			require.Equal(t, doors[0]+" "+doors[1]+" 3 5",
				one[string](g,
					`SELECT door || ' ' || second_door || ' ' || second_arrival || ' ' || arrivals FROM notices`))
			require.Equal(t, 1, one[int](g, `SELECT count(*) FROM role_changes`))
			g.sound()
		})
	}
}

// TestTakeAgainIsNoDoor: a Guardian that judges a notice again is not its second door.
func TestTakeAgainIsNoDoor(t *testing.T) {
	t.Parallel()
	g := guard(t)
	g.take("k1", termination("i-0"))
	again := termination("i-0")
	again.Door = "sweep"
	_, err := g.TakeAgain(t.Context(), again, roles.JudgeNotice)
	require.NoError(t, err)
	require.Empty(t, one[string](g, `SELECT second_door FROM notices`))
}
