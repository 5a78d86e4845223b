package jobs_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/testkit/temporaltest"
	"spotkeeper/workflows/jobs"
)

// books is a store of prices and of the house that counts, and the rows of runs.
type books struct {
	activities.PriceStore
	activities.HousekeepingStore
	activities.DecisionStore
	fail    error
	started []activities.JobStart
	ended   []activities.JobEnd
	days    []time.Time
	months  []time.Time
	open    time.Time
}

func (b *books) Start(_ context.Context, in activities.JobStart) error {
	b.started = append(b.started, in)
	return nil
}

func (b *books) End(_ context.Context, in activities.JobEnd) error {
	b.ended = append(b.ended, in)
	return nil
}

func (b *books) InUse(context.Context) ([]activities.TypeInRegion, error) { return nil, b.fail }

func (b *books) Fitting(context.Context) ([]activities.TypeInRegion, error) { return nil, b.fail }

func (b *books) ProductsInUse(context.Context) ([]activities.ProductInRegion, error) {
	return nil, b.fail
}

func (b *books) VolumesInUse(context.Context) ([]activities.VolumeInRegion, error) {
	return nil, b.fail
}

func (b *books) Deduplicate(context.Context, func()) (activities.PricesDeduplicated, error) {
	return activities.PricesDeduplicated{Processed: 7, New: 2, Duplicates: 5}, b.fail
}

func (b *books) FillGaps(_ context.Context, until time.Time, _ func()) (activities.GapsFilled, error) {
	b.days = append(b.days, until)
	return activities.GapsFilled{Found: 3, Written: 3}, b.fail
}

func (b *books) RefreshFeatures(context.Context, func()) (activities.DatasetRefreshed, error) {
	return activities.DatasetRefreshed{Days: 1, Written: 9}, b.fail
}

func (b *books) Clock(context.Context) (time.Time, error) { return time.Now(), b.fail }

func (b *books) EnsurePartitions(context.Context, time.Time, int) (int64, error) { return 9, b.fail }

func (b *books) DropPartitions(context.Context, time.Time) (int64, error) { return 1, b.fail }

func (b *books) Expire(_ context.Context, table string, _ time.Time, _ func()) (int64, error) {
	return int64(len(table)), b.fail
}

func (b *books) SnapshotClients(_ context.Context, day time.Time) (int64, error) {
	b.days = append(b.days, day)
	return 4, b.fail
}

func (b *books) FirstOpenMonth(context.Context) (time.Time, error) { return b.open, b.fail }

func (b *books) ClientsOf(_ context.Context, month time.Time) ([]string, error) {
	b.months = append(b.months, month)
	return []string{"k1"}, b.fail
}

func (b *books) ComputeSavings(context.Context, string, time.Time, time.Time) error { return b.fail }

func (b *books) Regions(context.Context) ([]string, error) { return nil, b.fail }

func (b *books) Due(context.Context, time.Time) ([]string, error) { return nil, b.fail }

func (b *books) OpenSwitchOrders(_ context.Context, period time.Time, _ time.Duration) ([]activities.OpenSwitchOrder, error) {
	b.days = append(b.days, period)
	return nil, b.fail
}

func (b *books) Tally(context.Context, time.Time) (map[string]int64, error) {
	return map[string]int64{"evaluated": 3, "moved": 1, "held: switch.paused": 2}, b.fail
}

// newEnvironment is a test environment with all jobs.
func newEnvironment() *testsuite.TestWorkflowEnvironment {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	env.SetWorkerOptions(temporaltest.WorkerOptions())
	for _, j := range jobs.All() {
		env.RegisterWorkflow(j.Workflow)
	}
	return env
}

func runJob(t *testing.T, b *books, workflow any, in jobs.JobInput) error {
	t.Helper()
	env := newEnvironment()
	log := slog.New(slog.DiscardHandler)
	env.RegisterActivity(&activities.Jobs{Store: b})
	env.RegisterActivity(&activities.Prices{Store: b, Log: log})
	env.RegisterActivity(&activities.Housekeeping{Store: b, Log: log})
	env.RegisterActivity(&activities.Decisions{Store: b, Log: log})
	env.ExecuteWorkflow(workflow, in)
	require.True(t, env.IsWorkflowCompleted())
	return env.GetWorkflowError()
}

// TestJobs: each run reports its counts, or why it failed.
func TestJobs(t *testing.T) {
	t.Parallel()

	period := time.Date(2026, 11, 22, 1, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		workflow any
		counts   map[string]int64
	}{
		"price-collection": {jobs.PriceCollection, map[string]int64{"types": 0}},
		"price-dedup": {jobs.PriceDedup, map[string]int64{
			"processed":        7,
			"new_snapshots":    2,
			"duplicates_found": 5,
		}},
		"gap-fill":         {jobs.GapFill, map[string]int64{"found": 3, "written": 3}},
		"ml-dataset":       {jobs.MLDataset, map[string]int64{"written": 9}},
		"price-partitions": {jobs.PricePartitions, map[string]int64{"partitions_made": 9}},
		"fleet-decisions":  {jobs.FleetDecisions, map[string]int64{"evaluated": 3, "moved": 1}},
		"client-snapshot":  {jobs.ClientSnapshot, map[string]int64{"clients": 4}},
		"monthly-savings":  {jobs.MonthlySavings, map[string]int64{"clients": 2, "closed": 1, "failed": 0}},
		"data-cleanup": {jobs.DataCleanup, map[string]int64{
			"partitions_made":    9,
			"partitions_dropped": 1,
			"decisions":          9,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &books{}
			require.NoError(t, runJob(t, b, c.workflow, jobs.JobInput{Period: period}))
			require.Equal(t, []activities.JobStart{{Job: name, Period: period}}, b.started)
			require.Len(t, b.ended, 1)
			require.Empty(t, b.ended[0].Error)
			for what, n := range c.counts {
				require.Equal(t, n, b.ended[0].Counts[what], what)
			}

			b = &books{fail: fault.Code("postgres.broken").New("the disk is full")}
			require.Error(t, runJob(t, b, c.workflow, jobs.JobInput{Period: period}))
			require.Len(t, b.ended, 1, "a run that failed has an end too")
			require.Contains(t, b.ended[0].Error, "the disk is full")
		})
	}
}

// TestWhatADailyRunIsAbout: the snapshot is of the day that ended, the first of a
// month closes the month before, and gaps are filled in the day before the period,
// which a backfill names.
func TestWhatADailyRunIsAbout(t *testing.T) {
	t.Parallel()

	b := &books{}
	first := time.Date(2026, 12, 1, 0, 5, 0, 0, time.UTC)
	require.NoError(t, runJob(t, b, jobs.ClientSnapshot, jobs.JobInput{Period: first}))
	require.Equal(t, "2026-11-30", b.days[0].Format(time.DateOnly))
	require.NoError(t, runJob(t, b, jobs.MonthlySavings, jobs.JobInput{Period: first}))
	require.Equal(t, "2026-11-01", b.months[0].Format(time.DateOnly))
	require.Equal(t, "2026-12-01", b.months[1].Format(time.DateOnly))

	b = &books{open: time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)} // no job closed it
	require.NoError(t, runJob(t, b, jobs.MonthlySavings, jobs.JobInput{Period: first}))
	require.Len(t, b.months, 4, "September to December: %v", b.months)
	backfilled := time.Date(2025, 12, 1, 1, 20, 0, 0, time.UTC)
	require.NoError(t, runJob(t, b, jobs.GapFill, jobs.JobInput{Period: backfilled}))
	require.Equal(t, backfilled, b.days[len(b.days)-1].UTC())
}
