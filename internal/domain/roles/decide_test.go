package roles_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
)

// set is an agent in the mode whose primary is i-old.
func set(keeping agent.StandbyMode, rs ...roles.Replica) *roles.AgentRoles {
	return &roles.AgentRoles{
		AgentID:  "a",
		Keeping:  keeping,
		Enabled:  true,
		Primary:  roles.Instance{ID: "i-old"},
		Replicas: rs,
	}
}

// rep is a replica that stands by for i-old; its id says what it is.
func rep(kind replica.Kind, state replica.State) roles.Replica {
	return roles.Replica{
		ID:         string(kind) + "-" + string(state),
		Kind:       kind,
		For:        "i-old",
		State:      state,
		InstanceID: "i-" + string(kind),
	}
}

func with(r roles.Replica, change func(*roles.Replica)) roles.Replica {
	change(&r)
	return r
}

func noticed(
	s *roles.AgentRoles,
	instanceID string,
	kind interruption.Kind,
	result interruption.Result,
	past bool,
) *roles.AgentRoles {
	s.Outcomes = append(s.Outcomes, interruption.Outcome{
		InstanceID: instanceID,
		Kind:       kind,
		Result:     result,
		Past:       past,
	})
	return s
}

func ids(rs []roles.Replica) []string {
	out := []string{}
	for _, r := range rs {
		out = append(out, r.ID)
	}
	return out
}

func TestHeir(t *testing.T) {
	t.Parallel()

	requested, launching := rep(replica.Rebalance, replica.Requested), rep(replica.Manual, replica.Launching)
	running, ready := rep(replica.Switch, replica.Running), rep(replica.Manual, replica.Ready)
	waiting := with(rep(replica.Manual, replica.Requested), func(r *roles.Replica) { r.Wait = time.Minute })
	second := with(ready, func(r *roles.Replica) { r.ID = "second"; r.InstanceID = "i-second" })
	for _, tt := range []struct {
		name      string
		set       *roles.AgentRoles
		wish      string
		successor string // of SuccessorWanted(wish)
	}{
		{"nobody", set(agent.KeepAuto), "", ""},
		{"the only one, however far", set(agent.KeepAuto, requested), "", requested.ID},
		{"the nearest", set(agent.KeepAuto, requested, launching), "", launching.ID},
		{"a switch's replica is a successor like any other", set(agent.KeepAuto, launching, running), "", running.ID},
		{"the first of equals", set(agent.KeepManual, ready, second), "", ready.ID},
		{"the wish among equals", set(agent.KeepManual, ready, second), "second", "second"},
		{"time before the wish", set(agent.KeepManual, running, ready), running.ID, ready.ID},
		{"a wish that is not ours", set(agent.KeepManual, ready), "elsewhere", ready.ID},
		{"not an interrupted one", noticed(set(agent.KeepAuto, ready, requested), ready.InstanceID, interruption.Termination,
			"", false), ready.ID, requested.ID},
		{"nor one whose notice was closed",
			noticed(set(agent.KeepAuto, ready), ready.InstanceID, interruption.Termination, interruption.NotPrimary,
				false), "", ""},
		{"nor the primary that was noticed and demoted by hand",
			noticed(set(agent.KeepManual, ready), ready.InstanceID, interruption.Termination, interruption.Promoted,
				true), "", ""},
		{"nor a standby whose launch waits", set(agent.KeepManual, waiting), "", ""},
		{"nor one that has stalled",
			set(agent.KeepAuto, with(requested, func(r *roles.Replica) { r.Stalled = true })), "", ""},
		{"but an emergency that waits is the best there is",
			set(agent.KeepAuto, with(requested, func(r *roles.Replica) { r.Wait = time.Minute })), "", requested.ID},
		{"a rebalance dooms nobody",
			noticed(set(agent.KeepAuto, ready), ready.InstanceID, interruption.Rebalance, "", false), "", ready.ID},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			successor, ok := tt.set.SuccessorWanted(tt.wish)
			require.Equal(t, tt.successor, successor.ID)
			require.Equal(t, tt.successor != "", ok)
		})
	}
}

func TestUndecidedAndSettledNotices(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name     string
		instance string
		kind     interruption.Kind
		result   interruption.Result
		past     bool
		waits    bool
		ruling   interruption.Result
	}{
		{"a fresh notice waits", "i-old", interruption.Termination, "", false, true, ""},
		{"its deadline passed", "i-old", interruption.Termination, "", true, true, interruption.Lost},
		{"lost, and still in want of a successor", "i-old", interruption.Termination, interruption.Lost, true, true, ""},
		{"decided", "i-old", interruption.Termination, interruption.Promoted, false, false, ""},
		{"of another instance", "i-else", interruption.Termination, "", false, false, interruption.NotPrimary},
		{"a rebalance is no termination", "i-old", interruption.Rebalance, "", false, false, ""},
		{"two hours and nothing came", "i-old", interruption.Rebalance, "", true, false, interruption.StoodDown},
		{"a rebalance of another instance", "i-else", interruption.Rebalance, "", false, false,
			interruption.NotPrimary},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := noticed(set(agent.KeepAuto), tt.instance, tt.kind, tt.result, tt.past)
			_, waits := s.Undecided()
			require.Equal(t, tt.waits, waits)
			if tt.ruling == "" {
				require.Empty(t, s.SettledNotices())
				return
			}
			require.Len(t, s.SettledNotices(), 1)
			require.Equal(t, tt.ruling, s.SettledNotices()[0].Result)
			require.Equal(t, tt.instance, s.SettledNotices()[0].InstanceID)
			require.True(t, s.Unsettled())
		})
	}
}

// TestAHoldThatRanOutStandsTheNoticeDown: the replica waited its time for nothing,
// so the next look must not open another one for the same recommendation.
func TestAHoldThatRanOutStandsTheNoticeDown(t *testing.T) {
	t.Parallel()

	held := rep(replica.Rebalance, replica.Ready)
	held.For, held.Expired = "i-old", true
	s := noticed(set(agent.KeepAuto, held), "i-old", interruption.Rebalance, "", false)
	require.Len(t, s.SettledNotices(), 1)
	require.Equal(t, interruption.StoodDown, s.SettledNotices()[0].Result)

	held.For = "i-else"
	s = noticed(set(agent.KeepAuto, held), "i-old", interruption.Rebalance, "", false)
	require.Empty(t, s.SettledNotices(), "that one waited for another instance's notice")
}

func TestWantsStandby(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name string
		set  *roles.AgentRoles
		want bool
	}{
		{"manual without any", set(agent.KeepManual), true},
		{"a switch's is spoken for", set(agent.KeepManual, rep(replica.Switch, replica.Ready)), true},
		{"one decided counts", set(agent.KeepManual, rep(replica.Manual, replica.Requested)), false},
		{"an emergency one counts", set(agent.KeepManual, rep(replica.Termination, replica.Requested)), false},
		{"auto keeps none", set(agent.KeepAuto), false},
		{"off keeps none", set(agent.KeepOff), false},
		{"disabled", func() *roles.AgentRoles { s := set(agent.KeepManual); s.Enabled = false; return s }(), false},
		{"deleted", func() *roles.AgentRoles { s := set(agent.KeepManual); s.Deleted = true; return s }(), false},
		{"without a primary", func() *roles.AgentRoles { s := set(agent.KeepManual); s.Primary.ID = ""; return s }(),
			false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, tt.set.WantsStandby())
			require.Equal(t, tt.want, tt.set.Unsettled())
		})
	}
}

func TestWantsEmergency(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name string
		set  *roles.AgentRoles
		want bool
	}{
		{"no notice", set(agent.KeepAuto), false},
		{"a rebalance in auto mode", noticed(set(agent.KeepAuto), "i-old", interruption.Rebalance, "", false), true},
		{"one is there", noticed(set(agent.KeepAuto, rep(replica.Rebalance, replica.Requested)), "i-old",
			interruption.Rebalance, "", false), false},
		{"its two hours are over", noticed(set(agent.KeepAuto), "i-old", interruption.Rebalance, "", true), false},
		{"a rebalance in manual mode", noticed(set(agent.KeepManual), "i-old", interruption.Rebalance, "", false),
			false},
		{"a termination in any mode", noticed(set(agent.KeepOff), "i-old", interruption.Termination, "", false), true},
		{"a termination and a successor",
			noticed(set(agent.KeepOff, rep(replica.Switch, replica.Requested)), "i-old", interruption.Termination,
				"", false), false},
		{"the only successor is interrupted",
			noticed(noticed(set(agent.KeepOff, rep(replica.Manual, replica.Ready)), "i-old",
				interruption.Termination, "", false),
				"i-manual", interruption.Termination, "", false), true},
		{"the only successor is a standby whose launch waits",
			noticed(set(agent.KeepManual,
				with(rep(replica.Manual, replica.Requested), func(r *roles.Replica) { r.Wait = time.Minute })),
				"i-old", interruption.Termination, "", false), true},
		{"lost is no reason to stop",
			noticed(set(agent.KeepOff), "i-old", interruption.Termination, interruption.Lost, true), true},
		{"of another instance", noticed(set(agent.KeepAuto), "i-else", interruption.Termination, "", false), false},
		{"a deleted agent",
			noticed(func() *roles.AgentRoles { s := set(agent.KeepAuto); s.Deleted = true; return s }(), "i-old",
				interruption.Termination, "", false), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, want := tt.set.WantsEmergency()
			require.Equal(t, tt.want, want)
		})
	}
}

func TestBackOff(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		kind     replica.Kind
		failures int
		want     time.Duration
	}{
		{replica.Manual, 0, 0},
		{replica.Manual, 1, 30 * time.Second},
		{replica.Manual, 3, 2 * time.Minute},
		{replica.Manual, 1000, 30 * time.Minute},
		{replica.Switch, 9, 0},
		{replica.Termination, 1, 2 * time.Second},
		{replica.Termination, 3, 2 * time.Second},
		{replica.Termination, 5, 8 * time.Second},
		{replica.Rebalance, 1000, 5 * time.Minute},
	} {
		s := set(agent.KeepAuto)
		switch tt.kind {
		case replica.Rebalance:
			s.Failures.Rebalance = tt.failures
		case replica.Termination:
			s.Failures.Termination = tt.failures
		default:
			s.Failures.Standby = tt.failures
		}
		require.Equal(t, tt.want, s.BackOff(tt.kind), "%s after %d", tt.kind, tt.failures)
	}
	s := set(agent.KeepManual)
	s.Failures = roles.Failures{Standby: 12, Rebalance: 9}
	require.Zero(t, s.BackOff(replica.Termination),
		"trouble with standbys does not hold back the launch for a fresh notice")
}

func TestSurplus(t *testing.T) {
	t.Parallel()

	manual, rebalance, termination, move := rep(replica.Manual, replica.Ready), rep(replica.Rebalance,
		replica.Ready), rep(replica.Termination, replica.Ready), rep(replica.Switch, replica.Ready)
	expired := with(rebalance, func(r *roles.Replica) { r.Hold, r.Expired = time.Hour, true })
	held := with(manual, func(r *roles.Replica) { r.Hold = time.Hour })
	elsewhere := func(r roles.Replica) roles.Replica { return with(r, func(r *roles.Replica) { r.For = "i-former" }) }
	terminating := func(s *roles.AgentRoles) *roles.AgentRoles {
		return noticed(s, "i-old", interruption.Termination, "", false)
	}
	for _, tt := range []struct {
		name string
		set  *roles.AgentRoles
		want []string
	}{
		{"each mode keeps its own", set(agent.KeepManual, manual, move), []string{}},
		{"auto keeps the emergency's", set(agent.KeepAuto, rebalance, move), []string{}},
		{"a hold has run out", set(agent.KeepAuto, expired), []string{expired.ID}},
		{"not while a termination waits", terminating(set(agent.KeepAuto, expired)), []string{}},
		{"auto turned off", set(agent.KeepOff, rebalance), []string{rebalance.ID}},
		{"auto turned manual", set(agent.KeepManual, rebalance), []string{rebalance.ID}},
		{"auto turned off while a termination waits", terminating(set(agent.KeepOff, rebalance)), []string{}},
		{"manual turned off", set(agent.KeepOff, manual), []string{manual.ID}},
		{"manual turned auto", set(agent.KeepAuto, manual), []string{manual.ID}},
		{"a demoted primary is held as the way back", set(agent.KeepAuto, held), []string{}},
		{"until its hold is over", set(agent.KeepAuto, with(held, func(r *roles.Replica) { r.Expired = true })),
			[]string{held.ID}},
		{"in manual mode a hold means nothing",
			set(agent.KeepManual, with(held, func(r *roles.Replica) { r.Expired = true })), []string{}},
		{"the danger moved with the primary", set(agent.KeepAuto, elsewhere(rebalance), elsewhere(termination)),
			[]string{rebalance.ID, termination.ID}},
		{"manual takes the emergency's over", set(agent.KeepManual, elsewhere(termination)), []string{}},
		{"but never two", set(agent.KeepManual, elsewhere(termination), rep(replica.Manual, replica.Launching)),
			[]string{"manual-launching"}},
		{"the replica of a notice that is not recorded yet", set(agent.KeepAuto, termination), []string{}},
		{"a switch's is the switch's", set(agent.KeepOff, elsewhere(move)), []string{}},
		{"an interrupted one, even in need",
			noticed(terminating(set(agent.KeepAuto, manual, termination)), "i-manual", interruption.Termination, "",
				false), []string{manual.ID}},
		{"of a deleted agent all",
			func() *roles.AgentRoles { s := set(agent.KeepManual, manual, move); s.Deleted = true; return s }(),
			[]string{manual.ID, move.ID}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, ids(tt.set.Surplus()))
		})
	}
}

// TestManualModeSettlesOnExactlyOne plays reconciliation until nothing is left
// to do: from any replicas at all, manual mode ends with exactly one standby.
func TestManualModeSettlesOnExactlyOne(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		s := set(agent.KeepManual)
		for i := range rapid.IntRange(0, 5).Draw(t, "replicas") {
			s.Replicas = append(s.Replicas, roles.Replica{
				ID:         string(rune('a' + i)),
				State:      rapid.SampledFrom(replica.OpenStates).Draw(t, "state"),
				InstanceID: "i-" + string(rune('a'+i)),
				Kind: rapid.SampledFrom([]replica.Kind{replica.Manual, replica.Rebalance, replica.Termination}).
					Draw(t, "kind"),
				For:     rapid.SampledFrom([]string{"i-old", "i-former"}).Draw(t, "for"),
				Expired: rapid.Bool().Draw(t, "expired"),
			})
		}
		for _, gone := range s.Surplus() {
			for i, r := range s.Replicas {
				if r.ID == gone.ID {
					s.Replicas = append(s.Replicas[:i:i], s.Replicas[i+1:]...)
					break
				}
			}
		}
		if s.WantsStandby() {
			s.Replicas = append(s.Replicas, roles.Replica{ID: "new", Kind: replica.Manual, State: replica.Requested})
		}
		require.Len(t, s.Replicas, 1)
		require.Empty(t, s.Surplus())
		require.False(t, s.WantsStandby())
	})
}
