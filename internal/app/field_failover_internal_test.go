package app

import (
	"context"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"

	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/testkit/temporaltest"
	"spotkeeper/workflows"
)

// failover is what came of the notice for an agent's primary.
type failover struct {
	Took          time.Duration // from the notice to the change of primary
	Successor     string        // empty: none
	SuccessorPool string
	Replicas      int      // opened
	Launches      []string // pools of the launch calls that EC2 got
	Steps         string   // of all replicas
	Notified      []string
	LastError     string
}

// lose gives the primary its notice and plays the Guardian for two minutes: a replica
// that is ready is made primary, one that failed is followed by another after its pause.
func (m *member) lose() failover {
	m.t.Helper()
	ctx := m.t.Context()
	store := &postgres.Roles{DB: m.DB}
	taken, err := (&postgres.Notices{DB: m.DB}).Take(ctx, "", interruption.Notice{
		AgentID:    m.id,
		InstanceID: m.at,
		Kind:       interruption.Termination,
		Deadline:   time.Now().Add(2 * time.Minute),
		Door:       "http",
	}, roles.JudgeNotice)
	require.NoError(m.t, err)
	require.True(m.t, taken.Known)
	var out failover
	for out.Took < 2*time.Minute && out.Successor == "" {
		set, err := store.Roles(ctx, m.id)
		require.NoError(m.t, err)
		out.Took += set.BackOff(replica.Termination)
		opened, err := store.OpenReplica(ctx, roles.ReplicaRequest{
			AgentID:   m.id,
			Kind:      replica.Termination,
			For:       m.at,
			CreatedBy: "system",
			Reason:    "termination notice",
			Plan:      replica.Plan{Mode: "spot", InstanceType: set.Primary.InstanceType},
		})
		require.NoError(m.t, err)
		out.Replicas++
		m.runReplica(opened.Replica.ID, &out)
	}
	m.reportNotice(&out)
	return out
}

// runReplica runs one Replica to its end, and makes it primary when it is ready.
func (m *member) runReplica(id string, out *failover) {
	m.t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(m.Log)
	env := suite.NewTestWorkflowEnvironment()
	env.SetWorkerOptions(temporaltest.WorkerOptions())
	env.SetTestTimeout(time.Minute)
	began := time.Now().Add(out.Took)
	env.SetStartTime(began)
	workflows.Register(env)
	m.Register(env)
	store := &postgres.Roles{DB: m.DB}
	took := time.Duration(0)
	promote := func() {
		set, err := store.Roles(context.WithoutCancel(m.t.Context()), m.id)
		require.NoError(m.t, err)
		r, open := set.Replica(id)
		late := out.Took+env.Now().Sub(began) > 2*time.Minute-interruption.FailoverMargin
		if out.Successor != "" || !open || r.State != replica.Ready && (!late || r.State != replica.Running) {
			return
		}
		_, err = store.ChangeRoles(context.WithoutCancel(m.t.Context()), set.FailOver(r))
		require.NoError(m.t, err)
		out.Successor, out.SuccessorPool, took = r.InstanceID, r.PoolID, env.Now().Sub(began)
		env.SignalWorkflow(workflows.SignalNews, nil)
	}
	env.SetOnLocalActivityCompletedListener(func(*activity.Info, converter.EncodedValue, error) { promote() })
	if left := 2*time.Minute - interruption.FailoverMargin + time.Second - out.Took; left > 0 {
		env.RegisterDelayedCallback(promote, left)
	}
	m.env.Store(env)
	env.ExecuteWorkflow(workflows.Replica, workflows.ReplicaInput{AgentID: m.id, ReplicaID: id})
	if took == 0 {
		took = env.Now().Sub(began)
	}
	out.Took += took
	if err := env.GetWorkflowError(); err != nil {
		out.LastError = err.Error()
	}
}
