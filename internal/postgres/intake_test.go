package postgres_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/intake"
	"spotkeeper/internal/postgres"
)

// TestNoticeThroughTwoDoors: in either order it is one notice and one failover, and the
// row says which door was first and which the second.
func TestNoticeThroughTwoDoors(t *testing.T) {
	t.Parallel()
	for _, doors := range [][2]string{{"http", "eventbridge"}, {"eventbridge", "http"}} {
		t.Run(doors[0]+" first", func(t *testing.T) {
			t.Parallel()
			g := guard(t)
			g.successor(replica.Manual, "i-0", "i-1")
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

// TestNoticeThroughEachDoorAndAll: each door alone, and all three in every order, are one
// notice and one failover. The row says which door was first and which the second.
func TestNoticeThroughEachDoorAndAll(t *testing.T) {
	t.Parallel()
	for _, doors := range [][]string{
		{"http"}, {"eventbridge"}, {"describe"},
		{"http", "eventbridge", "describe"}, {"http", "describe", "eventbridge"},
		{"eventbridge", "http", "describe"}, {"eventbridge", "describe", "http"},
		{"describe", "http", "eventbridge"}, {"describe", "eventbridge", "http"},
	} {
		t.Run(strings.Join(doors, ", "), func(t *testing.T) {
			t.Parallel()
			g := guard(t)
			g.successor(replica.Manual, "i-0", "i-1")
			behind := 0
			for n, door := range doors {
				notice := termination("i-0")
				notice.Door = door
				got := g.take("", notice)
				require.Equal(t, n == 0, got.First)
				require.Equal(t, doors[0], got.FirstDoor)
				require.Equal(t, interruption.Promoted, got.Outcome.Result)
				if got.Behind != nil {
					behind++
				}
			}
			require.Equal(t, min(len(doors)-1, 1), behind, "the histogram has the second door's lag, once")
			require.Equal(t, 1, one[int](g, `SELECT count(*) FROM notices`))
			require.Equal(t, 1, one[int](g, `SELECT count(*) FROM role_changes`))
			require.Equal(t, len(doors), one[int](g, `SELECT arrivals FROM notices`))
			g.sound()
		})
	}
}

// TestNoticesTogether: those of several agents are taken in as each would be by itself; when
// one cannot be, none is.
func TestNoticesTogether(t *testing.T) {
	t.Parallel()
	g := guard(t)
	g.successor(replica.Manual, "i-0", "i-1")
	g.exec(`INSERT INTO agents (id, client_id, logical_agent_id) VALUES ('a0', 'k1', 'before')`)
	g.exec(`INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode, proof)
		VALUES ('i-9', 'k1', 'a0', 'primary', 't3.medium', 'us-east-1', 'us-east-1a', 't3.medium.us-east-1a', 'spot',
			'launched')`)
	other := termination("i-9")
	other.AgentID, other.Door = "a0", "eventbridge"
	both := []intake.Incoming{{ClientID: "k1", Notice: termination("i-0")}, {ClientID: "k1", Notice: other}}
	s := &postgres.Notices{DB: g.DB}

	stranger := append(slices.Clone(both), intake.Incoming{ClientID: "k2", Notice: interruption.Notice{
		AgentID: "a9", InstanceID: "i-7", Kind: interruption.Termination}})
	_, err := s.TakeTogether(t.Context(), stranger, roles.JudgeNotice)
	require.Error(t, err)
	require.Equal(t, 0, one[int](g, `SELECT count(*) FROM notices`))

	got, err := s.TakeTogether(t.Context(), both, roles.JudgeNotice)
	require.NoError(t, err)
	require.Equal(t, roles.RuledFailOver, got[0].Verdict.Ruling)
	require.Equal(t, interruption.Promoted, got[0].Outcome.Result)
	require.Equal(t, roles.RuledLaunch, got[1].Verdict.Ruling)
	require.True(t, got[0].First && got[1].First)
	require.Equal(t, 1, one[int](g, `SELECT count(*) FROM role_changes`))
	require.Equal(t, 2, one[int](g, `SELECT count(*) FROM operations WHERE kind = 'termination'`))
	g.sound()
}
