package workflows_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/workflows"
)

// Switch finds nothing: most tests have no switch.
func (p *pages) Switch(context.Context, string, string) (*activities.SwitchFacts, error) {
	return nil, switching.NotFound.New("there is no switch")
}

// switchRows are the rows of the switch "cmd" in memory, beside the roles of the store.
type switchRows struct {
	*pages

	mu    sync.Mutex
	store *store
	cloud *cloud
	row   activities.SwitchFacts // of the command, of the agent's reports and of the history
	reads int
	busy  int // how many replicas are refused first, because another switch is in flight
	asked []roles.ReplicaRequest
}

func (b *switchRows) Switch(_ context.Context, _, switchID string) (*activities.SwitchFacts, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reads++
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	f, set := b.row, b.store.copy()
	f.AgentID, f.LogicalID = "a1", "web-1"
	f.Epoch, f.Primary, f.AutoTerminate, f.Deleted = set.Epoch, set.Primary.ID, set.AutoTerminate, set.Deleted
	for _, r := range b.store.all {
		if r.Kind == replica.Switch && r.For == switchID {
			f.Replica.ID, f.Replica.State, f.Replica.InstanceID = r.ID, r.State, r.InstanceID
		}
	}
	for _, c := range b.store.changed {
		if c.OperationID == workflows.SwitchID(switchID) {
			by := map[roles.OldPrimaryPolicy]string{roles.RetireOld: "us", roles.LeaveOld: "agent", roles.KeepOld: "nobody"}[c.Fate]
			f.Change = &activities.SwitchChange{
				OldID:     c.OldID,
				NewID:     c.NewID,
				ReplicaID: c.ReplicaID,
				EndedBy:   by,
				OldGone:   slices.Contains(b.cloud.ended, c.OldID),
				KeepLeft:  f.KeepOld - b.store.now().Sub(b.store.changedAt),
			}
		}
		f.FailedOver = f.FailedOver || c.OldID == f.OldID && c.Cause == roles.ByTermination
	}
	_, f.Noticed = set.Undecided()
	f.Replaced = f.Replaced || f.Primary != f.OldID
	return &f, nil
}

func (b *switchRows) RecordPhase(ctx context.Context, in activities.SwitchPhase) error {
	b.set(func(row *activities.SwitchFacts) { row.Phase, row.Code = in.Phase, in.Code })
	return b.pages.RecordPhase(ctx, in)
}

func (b *switchRows) CloseCommand(ctx context.Context, in activities.CommandResult) error {
	b.set(func(row *activities.SwitchFacts) {
		if row.Status == switching.Pending {
			row.Status, row.Message = in.Status, in.Message
		}
	})
	return b.pages.CloseCommand(ctx, in)
}

func (b *switchRows) set(change func(*activities.SwitchFacts)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(&b.row)
}

// switchRoles is the store with the refusal of another switch's replica.
type switchRoles struct {
	*store

	rows *switchRows
}

func (r *switchRoles) OpenReplica(ctx context.Context, in roles.ReplicaRequest) (*roles.ReplicaOpened, error) {
	r.rows.mu.Lock()
	r.rows.asked = append(r.rows.asked, in)
	busy := r.rows.busy > 0
	r.rows.busy--
	r.rows.mu.Unlock()
	if busy {
		return nil, switching.Busy.New("another switch of this agent is in flight")
	}
	return r.store.OpenReplica(ctx, in)
}

// move is a world with the order "cmd" to leave i-old.
type move struct {
	*world

	rows *switchRows
}

func newMove(t *testing.T, s *store) *move {
	t.Helper()
	w := newWorld(t, s)
	rows := &switchRows{
		pages: w.pages,
		store: s,
		cloud: w.cloud,
		row: activities.SwitchFacts{
			Ordered: true,
			Status:  switching.Pending,
			Target:  switching.Target{Mode: agent.Spot, PoolID: "t3.medium.us-east-1b"},
			Reason:  "cheaper",
			Trigger: "manual",
			KeepOld: 5 * time.Minute,
			OldID:   "i-old",
		},
	}
	again := activity.RegisterOptions{DisableAlreadyRegisteredCheck: true}
	w.RegisterActivityWithOptions(&activities.Switches{Store: rows}, again)
	w.RegisterActivityWithOptions(&activities.Roles{Store: &switchRoles{store: s, rows: rows}}, again)
	return &move{world: w, rows: rows}
}

// switchReplica is the replica of the order in a state.
func switchReplica(state replica.State) roles.Replica {
	r := roles.Replica{ID: "r1", Kind: replica.Switch, For: "cmd", State: state, RequestID: "switch/cmd"}
	if state != replica.Requested {
		r.InstanceID = "i-new"
	}
	return r
}

// moving is a move whose replica is being launched.
func moving(t *testing.T) *move {
	t.Helper()
	return newMove(t, newStore().with(switchReplica(replica.Launching)))
}

// byAgent is a move that the agent performs.
func byAgent(t *testing.T) *move {
	t.Helper()
	s := newStore()
	s.set.Launcher = agent.ByAgent
	return newMove(t, s)
}

// news brings the replica to a state and says that something is new.
func (m *move) news(d time.Duration, state replica.State) {
	m.silently(d, state)
	m.after(d, m.nudge)
}

// silently brings the replica to a state; the message got lost.
func (m *move) silently(d time.Duration, state replica.State) {
	m.after(d, func() {
		_, _ = m.store.Advance(m.ctx, roles.ReplicaTransition{ReplicaID: "r1", To: state, InstanceID: "i-new"})
	})
}

// says changes what the rows have of the agent, and says that something is new.
func (m *move) says(d time.Duration, change func(*activities.SwitchFacts)) {
	m.after(d, func() {
		m.rows.set(change)
		m.nudge()
	})
}

func (m *move) nudge() { m.SignalWorkflow(workflows.SignalNews, nil) }

// notice has AWS announce the end of i-old.
func (m *move) notice(d, lead time.Duration) {
	m.after(d, func() {
		m.store.mu.Lock()
		m.store.outcome(interruption.Notice{
			InstanceID: "i-old",
			Kind:       interruption.Termination,
			Deadline:   m.Now().Add(lead),
		})
		m.store.mu.Unlock()
		m.nudge()
	})
}

// failOver makes a replica primary because AWS takes i-old.
func (m *move) failOver(t *testing.T, d time.Duration, r roles.Replica, cause roles.Cause) {
	t.Helper()
	m.store.with(r)
	m.after(d, func() {
		_, err := m.store.ChangeRoles(m.ctx, roles.RoleChange{
			AgentID:     "a1",
			OldID:       "i-old",
			NewID:       r.InstanceID,
			ReplicaID:   r.ID,
			Cause:       cause,
			OperationID: "other",
		})
		require.NoError(t, err)
	})
}

func (m *move) run(t *testing.T, workflow any) (workflows.SwitchStatus, error) {
	t.Helper()
	return m.runAs(t, workflow, "cmd")
}

func (m *move) runAs(t *testing.T, workflow any, switchID string) (workflows.SwitchStatus, error) {
	t.Helper()
	m.SetStartWorkflowOptions(startOf(workflows.SwitchID(switchID)))
	m.ExecuteWorkflow(workflow, workflows.SwitchInput{AgentID: "a1", SwitchID: switchID})
	require.True(t, m.IsWorkflowCompleted())
	var res workflows.SwitchStatus
	err := m.GetWorkflowError()
	if err == nil {
		require.NoError(t, m.GetWorkflowResult(&res))
	}
	return res, err
}

func (m *move) phases() []switching.Phase {
	var out []switching.Phase
	for _, p := range m.pages.phases {
		out = append(out, p.Phase)
	}
	return out
}

// fate is what became of i-old in the cut-over.
func (m *move) fate() roles.OldPrimaryPolicy {
	for _, c := range m.store.changed {
		return c.Fate
	}
	return ""
}

func startOf(id string) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{ID: id, TaskQueue: "control"}
}
