package cloud

import (
	"context"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/grpc"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/postgres"
)

// deaf is a frontend that takes no message for a workflow: such a call hangs. All
// others, those of workers among them, are answered.
type deaf struct {
	hanging atomic.Int64
	over    chan struct{} // closed when it need not hang any more
}

func (d *deaf) between(ctx context.Context, method string, in, out any,
	cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if !strings.HasSuffix(method, "/SignalWithStartWorkflowExecution") {
		return invoke(ctx, method, in, out, cc, opts...)
	}
	d.hanging.Add(1)
	defer d.hanging.Add(-1)
	<-d.over // whatever the deadline: a slot that is taken stays taken
	return nil
}

// wakes is a workflow that wakes a Guardian, and changes one that changes an agent's
// settings of its roles. Both do it in local activities, as the product's do.
func wakes(ctx workflow.Context) error {
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout:    patience,
		ScheduleToCloseTimeout: patience,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 50 * time.Millisecond,
			MaximumInterval: time.Second,
		},
	})
	var local *activities.Messages
	return workflow.ExecuteLocalActivity(ctx, local.WakeGuardian, activities.WakeInput{AgentID: "a1"}).Get(ctx, nil)
}

func changes(ctx workflow.Context) error {
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: 2 * time.Second, ScheduleToCloseTimeout: patience})
	var local *activities.Roles
	return workflow.ExecuteLocalActivity(ctx, local.SetKeeping,
		activities.SetKeepingInput{AgentID: "a1", Keeping: agent.KeepManual, By: "test"}).Get(ctx, nil)
}

// TestRolesChangeWhileTheFrontendHangs: more messages than there are slots wait for Temporal, and
// hold the slots of messages only.
func TestRolesChangeWhileTheFrontendHangs(t *testing.T) {
	t.Parallel()

	d := &deaf{over: make(chan struct{})}
	p := open(t, "default", d.between)
	_, err := postgres.Migrate(t.Context(), p.DB)
	require.NoError(t, err)
	for _, sql := range []string{
		`INSERT INTO clients (id, name, email, token_hash, token_sealed) VALUES ('k1', 'Acme', 'k@x', '\x01', '\x01')`,
		`INSERT INTO agents (id, client_id, logical_agent_id) VALUES ('a1', 'k1', 'web')`,
		`INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, proof)
			VALUES ('i-0', 'k1', 'a1', 'primary', 't', 'us-east-1', 'us-east-1a', 't.us-east-1a', 'launched')`,
	} {
		_, err := p.DB.Pool.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	w := p.NewWorker()
	w.RegisterWorkflow(wakes)
	w.RegisterWorkflow(changes)
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	t.Cleanup(func() { close(d.over) }) // before that

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	options := func(id string) client.StartWorkflowOptions {
		return client.StartWorkflowOptions{ID: id, TaskQueue: p.Config.Temporal.Queue}
	}
	const many = 48 // more than all slots of messages
	for n := range many {
		_, err := p.Temporal.ExecuteWorkflow(ctx, options("wakes-"+strconv.Itoa(n)), wakes)
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { return d.hanging.Load() >= 16 }, patience,
		10*time.Millisecond, "as many as an agent's roles have slots")
	for n := range 5 {
		run, err := p.Temporal.ExecuteWorkflow(ctx, options("changes-"+strconv.Itoa(n)), changes)
		require.NoError(t, err)
		require.NoError(t, run.Get(ctx, nil), "while %d messages hang", d.hanging.Load())
	}
}
