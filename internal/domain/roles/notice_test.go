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

func notice(instanceID string, kind interruption.Kind) interruption.Notice {
	return interruption.Notice{AgentID: "a", InstanceID: instanceID, Kind: kind}
}

func TestJudgeNotice(t *testing.T) {
	t.Parallel()

	ready, running := rep(replica.Manual, replica.Ready), rep(replica.Manual, replica.Running)
	second := with(ready, func(r *roles.Replica) { r.ID, r.InstanceID = "second", "i-second" })
	pooled := with(ready, func(r *roles.Replica) { r.PoolID = "m5.large.us-east-1b" })
	disabled := set(agent.KeepManual, pooled)
	disabled.Enabled = false
	for _, tt := range []struct {
		name     string
		set      *roles.AgentRoles
		instance string
		kind     interruption.Kind
		wanted   string
		ruling   roles.Ruling
		newID    string
		lost     string
		review   bool
		standby  string // its primary and type
	}{
		{
			name:   "a ready successor takes over",
			set:    set(agent.KeepAuto, ready),
			ruling: roles.RuledFailOver,
			newID:  "i-manual",
		},
		{
			name:    "manual mode opens its next standby",
			set:     set(agent.KeepManual, pooled),
			ruling:  roles.RuledFailOver,
			newID:   "i-manual",
			standby: "i-manual m5.large",
		},
		{
			name:   "in a pool that is not known the Guardian opens it",
			set:    set(agent.KeepManual, ready),
			ruling: roles.RuledFailOver,
			newID:  "i-manual",
			review: true,
		},
		{
			name:   "an emergency replica becomes the standby",
			set:    set(agent.KeepManual, pooled, rep(replica.Termination, replica.Launching)),
			ruling: roles.RuledFailOver,
			newID:  "i-manual",
			review: true,
		},
		{
			name:   "a disabled agent has no standby",
			set:    disabled,
			ruling: roles.RuledFailOver,
			newID:  "i-manual",
			review: true,
		},
		{name: "auto mode has none", set: set(agent.KeepAuto, pooled), ruling: roles.RuledFailOver, newID: "i-manual"},
		{
			name:   "the successor that was asked for",
			set:    set(agent.KeepManual, ready, second),
			wanted: "second",
			ruling: roles.RuledFailOver,
			newID:  "i-second",
			review: true,
		},
		{
			name:   "one that only runs is waited for",
			set:    set(agent.KeepManual, running),
			ruling: roles.RuledLaunch,
			review: true,
		},
		{name: "nothing is there", set: set(agent.KeepAuto), ruling: roles.RuledLaunch, review: true},
		{
			name:     "a stranger's instance",
			set:      set(agent.KeepAuto, ready),
			instance: "i-else",
			ruling:   roles.RuledNotPrimary,
		},
		{
			name:     "the standby's instance",
			set:      set(agent.KeepManual, ready),
			instance: "i-manual",
			ruling:   roles.RuledNotPrimary,
			lost:     ready.ID,
			review:   true,
		},
		{
			name:     "a warning for the standby's instance",
			set:      set(agent.KeepManual, ready),
			instance: "i-manual",
			kind:     interruption.Rebalance,
			ruling:   roles.RuledNotPrimary,
		},
		{
			name:   "auto mode prepares",
			set:    set(agent.KeepAuto),
			kind:   interruption.Rebalance,
			ruling: roles.RuledPrepare,
			review: true,
		},
		{
			name:   "manual mode has its standby",
			set:    set(agent.KeepManual, ready),
			kind:   interruption.Rebalance,
			ruling: roles.RuledNone,
		},
		{
			name: "known already",
			set: noticed(set(agent.KeepAuto, ready), "i-old", interruption.Termination, interruption.NotPrimary,
				false),
			ruling: roles.RuledKnown,
		},
		{
			name:   "a lost one is healed",
			set:    noticed(set(agent.KeepAuto, ready), "i-old", interruption.Termination, interruption.Lost, true),
			ruling: roles.RuledFailOver,
			newID:  "i-manual",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := notice("i-old", interruption.Termination)
			if tt.instance != "" {
				n.InstanceID = tt.instance
			}
			if tt.kind != "" {
				n.Kind = tt.kind
			}
			if _, there := tt.set.Outcome(n.InstanceID, n.Kind); !there {
				tt.set.Outcomes = append(tt.set.Outcomes, interruption.Outcome{
					InstanceID: n.InstanceID,
					Kind:       n.Kind,
					Wanted:     tt.wanted,
				})
			}
			v := roles.JudgeNotice(tt.set, n)
			require.Equal(t, tt.ruling, v.Ruling)
			require.Equal(t, tt.lost, v.Lost)
			require.Equal(t, tt.review, v.Review)
			require.Equal(t, tt.newID != "", v.Change != nil)
			require.Equal(t, tt.standby != "", v.Standby != nil)
			if v.Standby != nil {
				require.Equal(t, tt.standby, v.Standby.For+" "+v.Standby.Plan.InstanceType)
				require.Equal(t, replica.Manual, v.Standby.Kind)
			}
			if v.Change != nil {
				require.Equal(t, tt.newID, v.Change.NewID)
				require.Equal(t, "i-old", v.Change.OldID)
				require.Equal(t, roles.LeaveOld, v.Change.Fate)
				require.Equal(t, "termination/a/i-old", v.Change.OperationID)
			}
		})
	}
}

// TestJudgeNoticeChangesOnlyToAReadySuccessor holds whatever an agent has: a change
// goes from the present primary to a ready replica that AWS does not take.
func TestJudgeNoticeChangesOnlyToAReadySuccessor(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		s := set(rapid.SampledFrom([]agent.StandbyMode{agent.KeepOff, agent.KeepManual, agent.KeepAuto}).Draw(t,
			"keeping"))
		for i, kind := range []replica.Kind{replica.Manual, replica.Termination, replica.Switch} {
			if !rapid.Bool().Draw(t, "there") {
				continue
			}
			r := rep(kind, rapid.SampledFrom(replica.OpenStates).Draw(t, "state"))
			r.ID, r.Stalled = string(rune('a'+i)), rapid.Bool().Draw(t, "stalled")
			if r.State == replica.Requested {
				r.InstanceID = ""
			}
			if rapid.Bool().Draw(t, "interrupted") && r.InstanceID != "" {
				noticed(s, r.InstanceID, interruption.Termination, "", false)
			}
			s.Replicas = append(s.Replicas, r)
		}
		n := notice(rapid.SampledFrom([]string{"i-old", "i-manual", "i-else"}).Draw(t, "instance"),
			interruption.Termination)
		if _, there := s.Outcome(n.InstanceID, n.Kind); !there {
			noticed(s, n.InstanceID, n.Kind, "", false)
		}
		v := roles.JudgeNotice(s, n)
		if v.Change == nil {
			return
		}
		require.Equal(t, s.Primary.ID, n.InstanceID)
		r, open := s.Replica(v.Change.ReplicaID)
		require.True(t, open)
		require.Equal(t, replica.Ready, r.State)
		require.False(t, s.Interrupted(r))
		require.Equal(t, s.Epoch, v.Change.Epoch)
	})
}

func TestNextReview(t *testing.T) {
	t.Parallel()

	in, wanted := set(agent.KeepAuto).NextReview()
	require.Equal(t, lineOf(time.Duration(0), false), lineOf(in, wanted), "roles at rest")
	_, wanted = set(agent.KeepManual).NextReview()
	require.True(t, wanted, "a standby is missing")
	s := set(agent.KeepAuto, rep(replica.Rebalance, replica.Ready))
	s.Outcomes = []interruption.Outcome{{InstanceID: "i-old", Kind: interruption.Rebalance, Left: time.Hour}}
	in, wanted = s.NextReview()
	require.Equal(t, lineOf(time.Hour, true), lineOf(in, wanted), "the recommendation comes to nothing then")
	gone := set(agent.KeepManual)
	gone.Deleted, gone.Primary.ID = true, ""
	_, wanted = gone.NextReview()
	require.False(t, wanted)
}

func lineOf(v ...any) []any { return v }

func TestOldPrimary(t *testing.T) {
	t.Parallel()

	s := set(agent.KeepManual)
	require.Equal(t, roles.KeepOld, s.OldPrimary(false), "auto-terminate is off")
	require.Equal(t, roles.DemoteOld, s.OldPrimary(true))
	s.AutoTerminate = true
	require.Equal(t, roles.RetireOld, s.OldPrimary(false))
	s.Launcher = agent.ByAgent
	require.Equal(t, roles.RetireOld, s.OldPrimary(false), "otherwise nothing would end it")
}
