package operations

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/domain/switching"
	simclient "spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/postgres"
	"spotkeeper/workflows"
)

var countRunning = &workflowservice.CountWorkflowExecutionsRequest{
	Query: `TaskQueue = "control" AND ExecutionStatus = "Running" AND WorkflowType IN ("Guardian", "Replica", "Switch", "Termination", "Promotion", "Removal")`,
}

// TestOperations takes every workflow through its ways, each on an agent of its own.
func TestOperations(t *testing.T) {
	t.Parallel()
	k := newKeeper(t)
	t.Run("scenarios", func(t *testing.T) {
		for name, run := range map[string]func(*testing.T){
			"a notice out of the blue":          k.blue,
			"manual mode":                       k.manual,
			"a rebalance that comes to nothing": k.rebalance,
			"promotions":                        k.promotions,
			"a switch":                          k.switched,
			"a switch that a notice calls off":  k.calledOff,
			"a switch that a person calls off":  k.cancelled,
			"an agent that launches":            k.byAgent,
			"an agent that is removed":          k.removed,
			"a switch that an agent makes":      k.agentsSwitch,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				run(t)
			})
		}
	})
	k.keep(t)
}

// noticed is how long before an instance's end a notice comes here. Its operation stays open for
// that long, and a while longer.
const noticed = 20 * time.Second

// notice reports an instance's end, at EC2 and over HTTP's workflow client.
func (k *keeper) notice(t *testing.T, agentID, instanceID string) *workflows.NoticeAnswer {
	t.Helper()
	require.NoError(t, k.sim.Interrupt(t.Context(), instanceID, simclient.Terminate, noticed))
	got, err := k.workflows.TerminationNotice(t.Context(), agentID, workflows.NoticeInput{
		InstanceID: instanceID,
		Deadline:   time.Now().Add(noticed),
		Wait:       noticed,
	})
	require.NoError(t, err)
	return got
}

func (k *keeper) blue(t *testing.T) {
	id, old := k.agent("blue")
	_, err := k.sim.SetCapacity(t.Context(), simclient.Capacity{
		Pool:   "t3.medium.us-east-1b",
		Market: simclient.Spot,
		Limit:  0,
	})
	require.NoError(t, err)
	got := k.notice(t, id, old)
	require.Equal(t, workflows.NoticePromoted, got.Status)
	require.Equal(t, got.NewPrimary, k.set(id).Primary.ID)
	again := k.notice(t, id, old)
	require.Equal(t, got.NewPrimary, again.NewPrimary)
	require.Equal(t, "succeeded", k.ended(t, got.OperationID))
	require.True(t, k.running(got.NewPrimary))
	require.False(t, k.running(old))
}

func ready(set *roles.AgentRoles) bool {
	return len(set.Replicas) == 1 && set.Replicas[0].State == replica.Ready
}

func (k *keeper) configure(t *testing.T, id string, keeping agent.StandbyMode) {
	t.Helper()
	_, err := k.workflows.Configure(t.Context(), id, workflows.ConfigureInput{Keeping: keeping, By: "test"})
	require.NoError(t, err)
}

func (k *keeper) manual(t *testing.T) {
	id, old := k.agent("manual")
	k.configure(t, id, agent.KeepManual)
	first := k.until(t, id, "a standby", ready).Replicas[0]
	got := k.notice(t, id, old)
	require.Equal(t, first.InstanceID, got.NewPrimary)
	second := k.until(t, id, "another standby", ready).Replicas[0]
	require.NotEqual(t, first.ID, second.ID)
	k.configure(t, id, agent.KeepOff)
	k.until(t, id, "no standby", func(s *roles.AgentRoles) bool { return len(s.Replicas) == 0 })
	require.Equal(t, "succeeded", k.ended(t, workflows.ReplicaID(second.ID)))
	require.False(t, k.running(second.InstanceID))
}

func (k *keeper) rebalance(t *testing.T) {
	id, old := k.agent("rebalance")
	in := workflows.EmergencyInput{InstanceID: old, Kind: interruption.Rebalance, Hold: 3 * time.Second}
	got, err := k.workflows.EmergencyReplica(t.Context(), id, in)
	require.NoError(t, err)
	again, err := k.workflows.EmergencyReplica(t.Context(), id, in)
	require.NoError(t, err)
	require.Equal(t, got.ReplicaID, again.ReplicaID)
	k.until(t, id, "ready", ready)
	k.until(t, id, "stood down", func(s *roles.AgentRoles) bool { return len(s.Replicas) == 0 })
	require.Equal(t, "succeeded", k.ended(t, got.OperationID))
	require.Equal(t, old, k.set(id).Primary.ID)
}

func (k *keeper) promotions(t *testing.T) {
	id, old := k.agent("promotions")
	k.configure(t, id, agent.KeepManual)
	r := k.until(t, id, "a standby", func(s *roles.AgentRoles) bool { return len(s.Replicas) == 1 }).Replicas[0]
	got, err := k.workflows.Promote(t.Context(), id, workflows.PromoteInput{
		ReplicaID: r.ID,
		Demote:    true,
		Wait:      time.Minute,
	})
	require.NoError(t, err)
	k.boot(t, id, "promotions")
	require.Equal(t, "succeeded", k.ended(t, got.OperationID))
	set := k.until(t, id, "the old primary stands by", ready)
	require.Equal(t, old, set.Replicas[0].InstanceID)
	back, err := k.workflows.Promote(t.Context(), id, workflows.PromoteInput{ReplicaID: set.Replicas[0].ID})
	require.NoError(t, err)
	require.True(t, back.Changed)
	require.Equal(t, "succeeded", k.ended(t, back.OperationID))
	require.Equal(t, old, k.set(id).Primary.ID)
	last := k.until(t, id, "a new standby", ready).Replicas[0]
	_, err = k.workflows.DeleteReplica(t.Context(), id, workflows.DeleteReplicaInput{ReplicaID: last.ID})
	require.NoError(t, err)
	require.Equal(t, "succeeded", k.ended(t, workflows.ReplicaID(last.ID)))
	k.configure(t, id, agent.KeepOff)
}

// order makes a command and asks for its switch.
func (k *keeper) order(t *testing.T, id, instance, pool string, retire bool) string {
	t.Helper()
	command := uuid.NewString()
	k.orderAs(t, command, id, instance, pool, retire)
	return command
}

// orderAs is order with an id of the caller's choice.
func (k *keeper) orderAs(t *testing.T, command, id, instance, pool string, retire bool) {
	t.Helper()
	_, err := k.pool.Exec(
		t.Context(),
		`
		INSERT INTO commands (id, client_id, agent_id, instance_id, launcher, target_mode, target_pool_id,
			terminate_wait_seconds)
		SELECT $1, client_id, id, $3, launcher, 'spot', $4, $5::bool::int FROM agents WHERE id = $2`,
		command,
		id,
		instance,
		pool,
		retire,
	)
	require.NoError(t, err)
	got, err := k.workflows.RequestSwitch(t.Context(), id, workflows.RequestSwitchInput{
		CommandID: command,
		Reason:    "test",
		Trigger:   "manual",
		Target:    switching.Target{Mode: agent.Spot, PoolID: pool},
	})
	require.NoError(t, err)
	require.Equal(t, workflows.SwitchID(command), got.OperationID)
}

// boot has the agent on a new instance register once that is ready, as its image does.
func (k *keeper) boot(t *testing.T, id, name string) {
	t.Helper()
	set := k.until(t, id, "the new instance is ready", func(s *roles.AgentRoles) bool {
		return len(s.Replicas) == 1 && s.Replicas[0].State == replica.Ready
	})
	k.register(name, set.Replicas[0].InstanceID, set.Replicas[0].PoolID)
}

func (k *keeper) switched(t *testing.T) {
	id, old := k.agent("switched")
	command := k.order(t, id, old, "t3.medium.us-east-1c", true)
	k.boot(t, id, "switched")
	require.Equal(t, "succeeded", k.ended(t, workflows.SwitchID(command)))
	set := k.set(id)
	require.NotEqual(t, old, set.Primary.ID)
	require.Equal(t, "t3.medium.us-east-1c", set.Primary.PoolID)
	require.False(t, k.running(old))
	p, err := k.workflows.OperationState(t.Context(), workflows.SwitchID(command))
	require.NoError(t, err)
	require.Equal(t, string(switching.Done), p.Phase)
}

func (k *keeper) calledOff(t *testing.T) {
	id, old := k.agent("called-off")
	k.slow(t, "t3.medium.us-east-1d")
	command := k.order(t, id, old, "t3.medium.us-east-1d", true)
	got := k.notice(t, id, old)
	require.Equal(t, workflows.NoticePromoted, got.Status)
	k.ended(t, workflows.SwitchID(command))
	k.until(t, id, "nothing is left", func(s *roles.AgentRoles) bool {
		return len(s.Replicas) == 0 &&
			s.OpenSwitch == ""
	})
	require.Equal(t, "succeeded", k.ended(t, got.OperationID))
}

// slow makes launches in a pool wait a little, by throttling the first of them.
func (k *keeper) slow(t *testing.T, pool string) {
	t.Helper()
	require.NoError(t, k.sim.AddFault(t.Context(), simclient.Fault{
		Action: "RunInstances",
		Pool:   pool,
		Code:   "RequestLimitExceeded",
		Times:  2,
	}))
}

func (k *keeper) cancelled(t *testing.T) {
	id, old := k.agent("cancelled")
	k.slow(t, "t3.medium.us-east-1f")
	command := k.order(t, id, old, "t3.medium.us-east-1f", true)
	require.NoError(t, k.workflows.CancelOperation(t.Context(), workflows.SwitchID(command), "test"))
	require.Equal(t, "cancelled", k.ended(t, workflows.SwitchID(command)))
	k.until(t, id, "nothing is left", func(s *roles.AgentRoles) bool {
		return len(s.Replicas) == 0 &&
			s.OpenSwitch == ""
	})
	require.Equal(t, old, k.set(id).Primary.ID)
}

// launches makes the agent the one who launches.
func (k *keeper) launches(t *testing.T, id string) {
	t.Helper()
	_, err := k.pool.Exec(t.Context(), `UPDATE agents SET launcher = 'agent' WHERE id = $1`, id)
	require.NoError(t, err)
}

func (k *keeper) byAgent(t *testing.T) {
	id, old := k.agent("by-agent")
	k.launches(t, id)
	got := k.notice(t, id, old)
	require.Equal(t, workflows.NoticeNoReplica, got.Status)
	r := k.until(t, id, "a replica to launch", func(s *roles.AgentRoles) bool { return len(s.Replicas) == 1 }).
		Replicas[0]
	_, fresh := k.agent("by-agent-helper")
	_, err := k.pool.Exec(t.Context(), `DELETE FROM instances WHERE id = $1`, fresh)
	require.NoError(t, err)
	for _, status := range []string{"syncing", "ready"} {
		require.NoError(t, k.workflows.ReplicaReport(t.Context(), workflows.ReplicaReport{
			ReplicaID:  r.ID,
			InstanceID: fresh,
			Status:     status,
		}))
	}
	k.until(t, id, "healed", func(s *roles.AgentRoles) bool { return s.Primary.ID == fresh })
	require.Equal(t, "succeeded", k.ended(t, got.OperationID))
}

func (k *keeper) agentsSwitch(t *testing.T) {
	id, old := k.agent("agents-switch")
	k.launches(t, id)
	command := k.order(t, id, old, "t3.medium.us-east-1b", false)
	_, fresh := k.agent("agents-switch-helper")
	_, err := k.pool.Exec(t.Context(), `DELETE FROM instances WHERE id = $1`, fresh)
	require.NoError(t, err)
	reports := &postgres.SwitchReports{DB: k.roles.DB}
	clientID := k.set(id).ClientID
	_, err = reports.Record(t.Context(), switching.Report{
		ClientID:  clientID,
		AgentID:   id,
		CommandID: command,
		OldID:     old,
		NewID:     fresh,
	})
	require.NoError(t, err)
	require.NoError(t, k.workflows.Nudge(t.Context(), activities.Nudge{
		OperationID: workflows.SwitchID(command),
		AgentID:     id,
		Start:       true,
		Launcher:    agent.ByAgent,
	}))
	require.Equal(t, "succeeded", k.ended(t, workflows.SwitchID(command)))
	require.Equal(t, fresh, k.set(id).Primary.ID)
}

func (k *keeper) removed(t *testing.T) {
	id, _ := k.agent("removed")
	k.configure(t, id, agent.KeepManual)
	r := k.until(t, id, "a standby", ready).Replicas[0]
	got, err := k.workflows.RemoveAgent(t.Context(), id, workflows.RemoveAgentInput{By: "test"})
	require.NoError(t, err)
	require.Equal(t, "succeeded", k.ended(t, got.OperationID))
	require.Equal(t, "succeeded", k.ended(t, workflows.ReplicaID(r.ID)))
	require.False(t, k.running(r.InstanceID))
}
