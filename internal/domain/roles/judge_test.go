package roles_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/adoption"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/domain/switching"
)

// refused checks the code of a judgement and, when it names one, the operation.
func refused(t *testing.T, err error, code fault.Code, operation string) {
	t.Helper()
	require.Equal(t, code, fault.CodeOf(err), "%v", err)
	if operation != "" {
		typed, ok := errors.AsType[*fault.Error](err)
		require.True(t, ok)
		require.Equal(t, operation, typed.Details["operation_id"])
		require.Contains(t, typed.Message, operation)
	}
}

// TestNothingIsLaunchedForAnUnprovenPrimary, except by an agent that launches for itself.
func TestNothingIsLaunchedForAnUnprovenPrimary(t *testing.T) {
	t.Parallel()
	s := &roles.AgentRoles{AgentID: "a1", Keeping: agent.KeepManual, Enabled: true, Launcher: agent.ControlPlane,
		Primary: roles.Instance{ID: "i-0", Role: agent.Primary, Unproven: true}}
	require.Equal(t, adoption.NotProven, fault.CodeOf(s.CanLaunch()))
	require.Equal(t, adoption.NotProven, fault.CodeOf(s.CanSwitch("c1")))
	require.NoError(t, s.CanCreate(replica.Manual), "an instance that exists may be named")
	require.False(t, s.WantsStandby())
	n := interruption.Notice{InstanceID: "i-0", Kind: interruption.Termination}
	require.Equal(t, roles.Verdict{Ruling: roles.RuledUnproven, Review: true}, roles.JudgeNotice(s, n))
	s.Outcomes = []interruption.Outcome{{InstanceID: "i-0", Kind: interruption.Termination, Left: time.Minute}}
	_, wanted := s.WantsEmergency()
	require.False(t, wanted)

	s.Launcher = agent.ByAgent
	require.NoError(t, s.CanLaunch())
	require.True(t, s.WantsStandby())
	require.Equal(t, roles.RuledLaunch, roles.JudgeNotice(s, n).Ruling)
}

// TestAnAgentsWordReplacesNoProvenPrimary: not by a person's request, not by a person's choice
// of the successor, and not in a failover. Beside a primary that is unproven nothing at EC2 is touched.
func TestAnAgentsWordReplacesNoProvenPrimary(t *testing.T) {
	t.Parallel()
	s := &roles.AgentRoles{AgentID: "a1", Keeping: agent.KeepManual, Enabled: true, Launcher: agent.ControlPlane,
		Primary:  roles.Instance{ID: "i-0", Role: agent.Primary},
		Outcomes: []interruption.Outcome{{InstanceID: "i-0", Kind: interruption.Termination, Left: time.Minute}},
		Replicas: []roles.Replica{{ID: "r1", Kind: replica.Manual, State: replica.Ready, InstanceID: "i-1",
			Unproven: true}}}
	n := interruption.Notice{InstanceID: "i-0", Kind: interruption.Termination, ReplicaID: "r1"}
	_, err := s.CanPromote("r1", true)
	require.Equal(t, adoption.NotProven, fault.CodeOf(err))
	_, successor := s.Successor()
	require.False(t, successor)
	_, successor = s.SuccessorWanted("r1")
	require.False(t, successor)
	_, wanted := s.WantsEmergency()
	require.True(t, wanted, "an emergency replica is launched beside it")
	require.NotEqual(t, roles.RuledFailOver, roles.JudgeNotice(s, n).Ruling)

	s.Primary.Unproven = true
	_, err = s.CanPromote("r1", true)
	require.NoError(t, err)
	_, successor = s.Successor()
	require.True(t, successor)

	s.Primary.Unproven, s.Replicas[0].Unproven = false, false
	_, err = s.CanPromote("r1", true)
	require.NoError(t, err)
	require.Equal(t, roles.RuledFailOver, roles.JudgeNotice(s, n).Ruling)
}

func TestCanCreate(t *testing.T) {
	t.Parallel()

	deleted := set(agent.KeepManual)
	deleted.Deleted = true
	for _, tt := range []struct {
		name string
		set  *roles.AgentRoles
		kind replica.Kind
		code fault.Code
	}{
		{"manual", set(agent.KeepManual), replica.Manual, ""},
		{"manual beside a switch", set(agent.KeepManual, rep(replica.Switch, replica.Ready)), replica.Manual, ""},
		{"manual while off", set(agent.KeepOff), replica.Manual, replica.NotAllowed},
		{"manual while auto", set(agent.KeepAuto), replica.Manual, replica.NotAllowed},
		{"a second one", set(agent.KeepManual, rep(replica.Manual, replica.Requested)), replica.Manual,
			replica.AlreadyExists},
		{"an emergency's is the one", set(agent.KeepManual, rep(replica.Termination, replica.Ready)), replica.Manual,
			replica.AlreadyExists},
		{"emergency in auto", set(agent.KeepAuto), replica.Rebalance, ""},
		{"emergency again", set(agent.KeepAuto, rep(replica.Rebalance, replica.Ready)), replica.Rebalance, ""},
		{"emergency while off", set(agent.KeepOff), replica.Termination, agent.AutoOff},
		{"emergency while manual", set(agent.KeepManual), replica.Rebalance, agent.AutoOff},
		{"deleted", deleted, replica.Manual, agent.NotFound},
		{"no primary", &roles.AgentRoles{Keeping: agent.KeepManual}, replica.Manual, agent.NotFound},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			refused(t, tt.set.CanCreate(tt.kind), tt.code, "")
		})
	}
}

func TestCanPromote(t *testing.T) {
	t.Parallel()

	ready, launching, move := rep(replica.Manual, replica.Ready), rep(replica.Manual,
		replica.Launching), rep(replica.Switch, replica.Ready)
	move.For = "c1"
	for _, tt := range []struct {
		name      string
		set       *roles.AgentRoles
		id        string
		waits     bool
		code      fault.Code
		operation string
	}{
		{"ready", set(agent.KeepManual, ready), ready.ID, false, "", ""},
		{"running is near enough", set(agent.KeepManual, rep(replica.Manual, replica.Running)), "manual-running",
			false, "", ""},
		{"launching", set(agent.KeepManual, launching), launching.ID, false, replica.NotReady, ""},
		{"launching, and we may wait", set(agent.KeepManual, launching), launching.ID, true, "", ""},
		{"unknown", set(agent.KeepManual, ready), "elsewhere", true, replica.NotFound, ""},
		{"during a switch", set(agent.KeepManual, ready, move), ready.ID, false, switching.Busy, "switch/c1"},
		{"the switch's own", set(agent.KeepManual, move), move.ID, false, switching.Busy, "switch/c1"},
		{"danger goes before the switch",
			noticed(set(agent.KeepManual, ready, move), "i-old", interruption.Termination, "", false), ready.ID,
			false, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := tt.set.CanPromote(tt.id, tt.waits)
			refused(t, err, tt.code, tt.operation)
			if tt.code == "" {
				require.Equal(t, tt.id, r.ID)
			}
		})
	}
}

func TestCanDemote(t *testing.T) {
	t.Parallel()

	s := set(agent.KeepManual, rep(replica.Manual, replica.Ready), rep(replica.Switch, replica.Ready))
	require.NoError(t, s.CanDemote("manual-ready"), "the successor makes room")
	refused(t, s.CanDemote("switch-ready"), replica.AlreadyExists, "")
}

func TestCanDelete(t *testing.T) {
	t.Parallel()

	manual, move := rep(replica.Manual, replica.Ready), rep(replica.Switch, replica.Launching)
	move.For = "c1"
	s := set(agent.KeepManual, manual, move)
	_, err := s.CanDelete(manual.ID)
	require.NoError(t, err)
	_, err = s.CanDelete(move.ID)
	refused(t, err, switching.Busy, "switch/c1")
	_, err = s.CanDelete("elsewhere")
	refused(t, err, replica.NotFound, "")
	_, err = noticed(s, "i-old", interruption.Termination, "", false).CanDelete(manual.ID)
	refused(t, err, switching.Busy, "termination/a/i-old")
}

func TestCanSwitch(t *testing.T) {
	t.Parallel()

	move := rep(replica.Switch, replica.Requested)
	move.For = "c1"
	open := set(agent.KeepAuto)
	open.OpenSwitch = "c1"
	require.NoError(t, set(agent.KeepAuto, rep(replica.Rebalance, replica.Ready)).CanSwitch("c1"))
	require.NoError(t, set(agent.KeepAuto, move).CanSwitch("c1"), "the same command again")
	require.NoError(t, open.CanSwitch("c1"), "the same command again")
	refused(t, set(agent.KeepAuto, move).CanSwitch("c2"), switching.Busy, "switch/c1")
	refused(t, open.CanSwitch("c2"), switching.Busy, "switch/c1")
	refused(t, noticed(set(agent.KeepAuto), "i-old", interruption.Termination, "", false).CanSwitch("c1"),
		switching.Busy, "termination/a/i-old")
	refused(t, (&roles.AgentRoles{}).CanSwitch("c1"), agent.NotFound, "")
}
