package postgres_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

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

// TestActionOfANotice: what AWS does with the instance is that of the first door that knows it.
func TestActionOfANotice(t *testing.T) {
	t.Parallel()
	g := guard(t)
	for _, c := range []struct{ said, want interruption.Action }{
		{"", ""}, {interruption.Hibernate, interruption.Hibernate}, {"", interruption.Hibernate},
		{interruption.Terminate, interruption.Hibernate},
	} {
		n := termination("i-0")
		n.Action = c.said
		g.take("", n)
		require.Equal(t, string(c.want), one[string](g, `SELECT action FROM notices`))
	}
	facts, err := (&postgres.Roles{DB: g.DB}).Termination(t.Context(), termination("i-0").AgentID, "i-0")
	require.NoError(t, err)
	require.Equal(t, interruption.Hibernate, facts.Notice.Action)
	require.Equal(t, interruption.Action(""), interruption.ActionOf("reboot"))
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

// orders are the permutations of each subset of things, except the empty one.
func orders(things ...string) (out [][]string) {
	for n, first := range things {
		out = append(out, []string{first})
		for _, rest := range orders(slices.Delete(slices.Clone(things), n, n+1)...) {
			out = append(out, append([]string{first}, rest...))
		}
	}
	return out
}

// TestNoticeThroughEachDoorAndAll: each door alone, and two or three in every order, are one
// notice and one failover. The row says which door was first and which the second.
func TestNoticeThroughEachDoorAndAll(t *testing.T) {
	t.Parallel()
	all := orders("http", "eventbridge", "describe")
	require.Len(t, all, 15)
	for _, doors := range all {
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
			second := ""
			if len(doors) > 1 {
				second = doors[1]
			}
			require.Equal(t, doors[0]+" "+second, one[string](g, `SELECT door || ' ' || second_door FROM notices`))
			g.sound()
		})
	}
}

// TestNoticeThroughAllDoorsAtOnce: one of them is the first, and the others find its row.
func TestNoticeThroughAllDoorsAtOnce(t *testing.T) {
	t.Parallel()
	g := guard(t)
	g.successor(replica.Manual, "i-0", "i-1")
	s := &postgres.Notices{DB: g.DB}
	var firsts, seconds atomic.Int64
	var together errgroup.Group
	for _, door := range []string{"http", "eventbridge", "describe", "http", "eventbridge", "describe"} {
		together.Go(func() error {
			n := termination("i-0")
			n.Door = door
			got, err := s.Take(t.Context(), "", n, roles.JudgeNotice)
			if err != nil {
				return err
			}
			if got.First {
				firsts.Add(1)
			}
			if got.Behind != nil {
				seconds.Add(1)
			}
			return nil
		})
	}
	require.NoError(t, together.Wait())
	require.Equal(t, int64(1), firsts.Load())
	require.Equal(t, int64(1), seconds.Load())
	require.Equal(t, 1, one[int](g, `SELECT count(*) FROM notices WHERE arrivals = 6`))
	require.Equal(t, 1, one[int](g, `SELECT count(*) FROM role_changes`))
	g.sound()
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
