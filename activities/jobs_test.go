package activities_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
)

// failures is a job that has failed a given number of times in a row.
type failures struct {
	n        int
	paused   []string
	notified []string
}

func (f *failures) FailuresInRow(context.Context, string) (int, error) { return f.n, nil }

func (f *failures) NotifyPaused(_ context.Context, _ activities.JobEnd, message string) error {
	f.notified = append(f.notified, message)
	return nil
}

func (f *failures) NotifyFailing(_ context.Context, _ activities.JobEnd, message string) error {
	f.notified = append(f.notified, message)
	return nil
}

func (f *failures) PauseJob(_ context.Context, job, _ string) error {
	f.paused = append(f.paused, job)
	return nil
}

// PausesOnFailure is as in workflows.Client.
func (f *failures) PausesOnFailure(job string) bool { return job == "gap-fill" }

// TestAJobThatKeepsFailingIsPaused, and one that failed now and then is not.
func TestAJobThatKeepsFailingIsPaused(t *testing.T) {
	t.Parallel()

	end := activities.JobEnd{Job: "gap-fill", Error: "the disk is full"}
	for n, paused := range map[int]bool{1: false, 4: false, 5: true, 6: true} {
		f := &failures{n: n}
		require.NoError(t, (&activities.Jobs{Failures: f, Pauser: f}).PauseFailingJob(t.Context(), end))
		require.Equal(t, paused, len(f.paused) == 1, "%d failures", n)
		require.Len(t, f.notified, len(f.paused))
		if paused {
			require.Contains(t, f.notified[0], "the disk is full")
		}
	}
	for n, told := range map[int]int{4: 0, 5: 1, 6: 0} { // it goes on; operators are notified once
		f := &failures{n: n}
		require.NoError(t, (&activities.Jobs{Failures: f, Pauser: f}).PauseFailingJob(t.Context(),
			activities.JobEnd{Job: "primary-watch", Error: "EC2 is away"}))
		require.Empty(t, f.paused)
		require.Len(t, f.notified, told, "%d failures", n)
	}
	require.NoError(t, (&activities.Jobs{}).PauseFailingJob(t.Context(), end),
		"a worker without a pauser leaves jobs alone")
}
