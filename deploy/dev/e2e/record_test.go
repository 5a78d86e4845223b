package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	"spotkeeper/deploy/dev/devtest"
	"spotkeeper/internal/testkit/histories"
)

var record = flag.String("record", "",
	"directory where TestRecordHistories keeps what it recorded; without it nothing is recorded")

var walk = flag.Duration("walk", 4*time.Minute, "how long the paths of TestRecordHistories may take together")

const (
	queueOfStack = "control"
	perWorkflow  = 14 // histories kept of one workflow
)

// TestRecordHistories walks every workflow of the real stack along every path of
// interest, and keeps the histories. The replay tests of the workflows run over
// those that are committed; `make histories` brings them up to date.
func TestRecordHistories(t *testing.T) {
	dir := *record
	if dir == "" {
		return // a recorder, run by `make histories`; what it recorded is held by the replay tests
	}
	s := devtest.Start(t, devtest.Options{
		EC2Delays:   "quick",
		Environment: map[string]string{"REBALANCE_HOLD": "25s", "ENGINE_PYTHON": "on"},
	})
	ctx := deadline(t, 10*time.Minute)
	f := newFleet(t, s, newTenant(t, s))
	theirs := newFleet(t, s, newTenantOf(t, s, "agent"))
	prices, at := mustJoin(t, f, "prices")
	require.NoError(t, prices.reportPrices(ctx, at))

	begun := time.Now()
	var paths errgroup.Group
	paths.SetLimit(12)
	walking, cancel := context.WithTimeout(ctx, *walk)
	defer cancel()
	for i, p := range controlPlanePaths {
		paths.Go(func() error { return p.walk(walking, f, fmt.Sprintf("%02d %s", i, p.name)) })
	}
	paths.Go(func() error { return walkRollouts(walking, s, prices) })
	for i, p := range agentPaths {
		paths.Go(func() error { return p.walk(walking, theirs, fmt.Sprintf("%02d %s", i, p.name)) })
	}
	temporal := s.Dial(ctx, t)
	runJobs(ctx, t, temporal)
	walked := paths.Wait()
	t.Logf("%d paths walked in %s", len(controlPlanePaths)+len(agentPaths), time.Since(begun).Round(time.Second))

	// A termination ends when AWS has taken the instance.
	ended := until(walking, time.Second, func() (bool, error) {
		left := running(ctx, temporal, "Termination") + running(ctx, temporal, "Removal")
		if left == 0 {
			return true, nil
		}
		return false, fmt.Errorf("%d operations still run", left)
	})
	var kept map[string]int
	var err error
	require.Eventually(t, func() bool {
		kept, err = histories.Record(ctx, temporal, queueOfStack, dir, perWorkflow)
		return err == nil && len(missing(kept)) == 0
	}, time.Minute, time.Second, "%v", missingOf{&kept})
	require.NoError(t, err)
	t.Logf("kept %v", kept)
	require.NoError(t, errors.Join(walked, ended)) // last: the histories of what went well are worth keeping
}

// path is one way through the product, walked by an agent of its own.
type path struct {
	name string
	take func(ctx context.Context, m *member, at string) error
}

func (p path) walk(ctx context.Context, f *fleet, name string) error {
	m, err := f.join(ctx, name, zones[0])
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	s, err := m.state(ctx)
	if err == nil {
		err = p.take(ctx, m, s.Primary.ID)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// runJobs has every schedule run now.
func runJobs(ctx context.Context, t *testing.T, c client.Client) {
	t.Helper()
	require.Eventually(t, func() bool {
		found := 0
		list, err := c.ScheduleClient().List(ctx, client.ScheduleListOptions{})
		for err == nil && list.HasNext() {
			if _, err = list.Next(); err == nil {
				found++
			}
		}
		return err == nil && found == len(scheduled())
	}, time.Minute, 500*time.Millisecond)
	for _, id := range scheduled() {
		require.NoError(t, c.ScheduleClient().GetHandle(ctx, id).Trigger(ctx, client.ScheduleTriggerOptions{}))
	}
}

func running(ctx context.Context, c client.Client, kind string) int64 {
	res, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{
		Query: fmt.Sprintf("TaskQueue = %q AND WorkflowType = %q AND ExecutionStatus = 'Running'", queueOfStack, kind)})
	if err != nil {
		return -1000
	}
	return res.GetCount()
}

func newTenantOf(t *testing.T, s *devtest.Stack, launcher string) tenant {
	t.Helper()
	who, err := s.NewTenant(deadline(t, time.Minute), t.Name()+" "+launcher, map[string]any{"launcher": launcher})
	require.NoError(t, err)
	return who
}
