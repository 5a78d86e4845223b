package postgres_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
)

func TestRoles(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.exec(`UPDATE agents SET terminate_wait_seconds = 90, auto_terminate_enabled = false, failures = 2`)
	g.exec(
		`
			INSERT INTO switches (id, client_id, agent_id, phase, initiated_at)
			VALUES ('s0', 'k1', 'a1', 'done', now()),
				('s1', 'k1', 'a1', 'waiting_until_ready', now() - interval '1 hour'),
				('s2', 'k1', 'a1', 'retiring_old', now())`,
	)
	set := g.set()
	require.Equal(t, &roles.AgentRoles{
		AgentID:       "a1",
		ClientID:      "k1",
		Keeping:       agent.KeepAuto,
		Launcher:      agent.ControlPlane,
		Enabled:       true,
		TerminateWait: 90 * time.Second,
		Failures:      roles.Failures{Standby: 2},
		OpenSwitch:    "s1",
		Primary: roles.Instance{
			ID:           "i-0",
			InstanceType: "t3.medium",
			Region:       "us-east-1",
			AZ:           "us-east-1a",
			PoolID:       "t3.medium.us-east-1a",
			Mode:         agent.Spot,
			Role:         agent.Primary,
		},
		Replicas: []roles.Replica{},
		Outcomes: []interruption.Outcome{},
	}, set)
	_, err := g.Roles.Roles(t.Context(), "a9")
	require.Equal(t, agent.NotFound, fault.CodeOf(err))
}

func TestSetKeeping(t *testing.T) {
	t.Parallel()

	g := guard(t)
	g.exec(`UPDATE agents SET failures = 5`)
	for range 2 {
		set, err := g.SetKeeping(t.Context(), "a1", agent.KeepManual, "ops@acme")
		require.NoError(t, err)
		require.Equal(t, agent.KeepManual, set.Keeping)
		require.Zero(t, set.Failures)
		require.True(t, set.WantsStandby())
	}
	require.Equal(t, "ops@acme auto manual",
		one[string](
			g,
			`
				SELECT actor || ' ' || (metadata->'before'->>'keeping') || ' ' || (metadata->'after'->>'keeping')
				FROM events
				WHERE type = 'replica_mode_changed'`,
		))
	_, err := g.SetKeeping(t.Context(), "a9", agent.KeepManual, "")
	require.Equal(t, agent.NotFound, fault.CodeOf(err))
}

// TestRolesHold plays random histories against the store: whatever is asked in
// whatever order, with stale knowledge too, an agent has exactly one primary and
// its epoch counts the changes.
func TestRolesHold(t *testing.T) {
	t.Parallel()

	g := guard(t)
	agents, serial := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		agents++
		id := "p" + strconv.Itoa(agents)
		g.agent("k1", id, "i-"+id)
		set, err := g.Roles.Roles(t.Context(), id)
		require.NoError(rt, err)
		known := []*roles.AgentRoles{set} // the role sets that earlier readers may still hold
		for range rapid.IntRange(1, 14).Draw(rt, "steps") {
			believed := rapid.SampledFrom(known).Draw(rt, "believed")
			var open roles.Replica
			if len(believed.Replicas) > 0 {
				open = rapid.SampledFrom(believed.Replicas).Draw(rt, "replica")
			}
			switch rapid.SampledFrom([]string{"open", "advance", "advance", "change", "change", "notice", "decide",
				"mode"}).Draw(rt, "act") {
			case "open":
				in := roles.ReplicaRequest{
					AgentID: id,
					Kind: rapid.SampledFrom([]replica.Kind{replica.Manual, replica.Rebalance, replica.Termination,
						replica.Switch}).Draw(rt, "kind"),
					For: believed.Primary.ID,
				}
				_, err = g.OpenReplica(t.Context(), in)
			case "advance":
				serial++
				in := roles.ReplicaTransition{
					ReplicaID: open.ID,
					To: rapid.SampledFrom([]replica.State{replica.Launching, replica.Running, replica.Ready,
						replica.Ready, replica.Retiring, replica.Failed}).Draw(rt, "to"),
				}
				if in.To == replica.Running || in.To == replica.Ready {
					in.InstanceID = open.InstanceID
					if in.InstanceID == "" {
						in.InstanceID = "i-" + id + "-" + strconv.Itoa(serial)
					}
				}
				_, err = g.Advance(t.Context(), in)
			case "change":
				fate := rapid.SampledFrom([]roles.OldPrimaryPolicy{roles.RetireOld, roles.LeaveOld, roles.KeepOld, roles.DemoteOld}).Draw(rt,
					"fate")
				_, err = g.ChangeRoles(t.Context(),
					change(believed, open, rapid.SampledFrom([]roles.Cause{roles.ByTermination, roles.BySwitch,
						roles.ByPromotion}).Draw(rt, "cause"), fate))
			case "notice":
				_, err = g.TakeAgain(t.Context(), interruption.Notice{
					AgentID:    id,
					InstanceID: believed.Primary.ID,
					Kind:       interruption.Termination,
				}, roles.JudgeNotice)
			case "decide":
				_, err = g.DecideNotice(t.Context(), activities.Decision{Result: interruption.Lost,
					Notice: interruption.Notice{
						AgentID:    id,
						InstanceID: believed.Primary.ID,
						Kind:       interruption.Termination,
					}})
			case "mode":
				_, err = g.SetKeeping(t.Context(), id,
					rapid.SampledFrom([]agent.StandbyMode{agent.KeepAuto, agent.KeepManual, agent.KeepOff}).Draw(rt,
						"mode"), "")
			}
			if err != nil {
				require.NotEmpty(rt, fault.CodeOf(err), "a refusal is a fault: %v", err)
			}
			set, err = g.Roles.Roles(t.Context(), id)
			require.NoError(rt, err)
			known = append(known, set)
			primaries := one[int](g, `SELECT count(*) FROM instances WHERE agent_id = $1 AND role = 'primary'`, id)
			require.Equal(rt, 1, primaries)
			require.EqualValues(rt, one[int](g, `SELECT count(*) FROM role_changes WHERE agent_id = $1`, id), set.Epoch)
			for _, o := range set.Outcomes {
				require.Equal(rt, o.Result == interruption.Promoted, o.NewPrimary != "")
			}
		}
	})
	g.sound()
}
