package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/devtest"
)

// schedule is one job as operators see it.
type schedule struct {
	ID     string      `json:"id"`
	Cron   string      `json:"cron"`
	Note   string      `json:"note"`
	Paused bool        `json:"paused"`
	Reason string      `json:"reason"`
	Absent bool        `json:"absent"`
	Next   []time.Time `json:"next_runs"`
	Last   []struct {
		Period time.Time        `json:"period"`
		State  string           `json:"state"`
		Counts map[string]int64 `json:"counts"`
		Error  *string          `json:"error"`
	} `json:"last_runs"`
}

// seeSchedules reads the jobs by name; nil while they cannot be read.
func seeSchedules(ctx context.Context, s *devtest.Stack) map[string]schedule {
	var answer struct {
		Schedules []schedule `json:"schedules"`
	}
	status, err := s.Call(ctx, "GET", "/api/admin/schedules", "", nil, &answer)
	if err != nil || status != 200 {
		return nil
	}
	out := map[string]schedule{}
	for _, one := range answer.Schedules {
		out[one.ID] = one
	}
	return out
}

// operatorsRunTheJobs walks through what an operator does with the schedules of
// a real server: see, pause, trigger, backfill, resume; and a pause outlives a
// worker that reconciles them.
func operatorsRunTheJobs(t *testing.T, s *devtest.Stack) {
	t.Helper()
	ctx := deadline(t, 3*time.Minute)
	who := newTenant(t, s)
	register(t, s, who, "web", "i-0123456789abcdef2")

	require.Eventually(t, func() bool {
		all := seeSchedules(ctx, s)
		for _, one := range all {
			if one.Absent || len(one.Next) == 0 || one.Note == "" || one.Cron == "" {
				return false
			}
		}
		return len(all) >= 11
	}, 30*time.Second, 200*time.Millisecond, "every job has a schedule, a note and a next run")

	act := func(job, what string, body any, want int) {
		t.Helper()
		var answer map[string]any
		status, err := s.Call(ctx, "POST", "/api/admin/schedules/"+job+"/"+what, "", body, &answer)
		require.NoError(t, err)
		require.Equal(t, want, status, "%v", answer)
	}
	ended := func(job string, state string, n int) bool {
		count := 0
		for _, run := range seeSchedules(ctx, s)[job].Last {
			if run.State == state {
				count++
			}
		}
		return count >= n
	}
	for _, job := range []string{"price-collection", "price-dedup", "price-partitions", "gap-fill", "ml-dataset",
		"client-snapshot", "monthly-savings", "data-cleanup", "agent-health", "orphan-sweep"} {
		act(job, "trigger", nil, 202)
		require.Eventually(t, func() bool { return ended(job, "succeeded", 1) }, time.Minute, 200*time.Millisecond,
			"%s: %+v", job, seeSchedules(ctx, s)[job].Last)
	}
	all := seeSchedules(ctx, s)
	require.Positive(t, all["price-collection"].Last[0].Counts["buckets"],
		"the pools of the agent's type are known now")

	act("price-dedup", "pause", map[string]any{"reason": "looking at it"}, 200)
	paused := seeSchedules(ctx, s)["price-dedup"]
	require.True(t, paused.Paused)
	require.Contains(t, paused.Reason, "looking at it")
	require.NoError(t, s.Kill(devtest.Worker))
	require.NoError(t, s.Restart(ctx, devtest.Worker))
	until := time.Now().UTC().Truncate(time.Hour)
	act("gap-fill", "backfill", map[string]any{"from": until.Add(-72 * time.Hour), "until": until}, 202)
	require.Eventually(t, func() bool { return ended("gap-fill", "succeeded", 4) }, time.Minute, 200*time.Millisecond,
		"three days: %+v", seeSchedules(ctx, s)["gap-fill"].Last)
	require.True(t, seeSchedules(ctx, s)["price-dedup"].Paused, "the worker left the operator's pause alone")
	act("price-dedup", "resume", nil, 200)
	require.False(t, seeSchedules(ctx, s)["price-dedup"].Paused)
	act("nothing", "trigger", nil, 404)
}
