package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/devtest"
)

// processes are the addresses of api and worker processes by name.
type processes map[string]string

// follow waits until every process decides with a session, and says how long
// after the call the last one did. The product promises five seconds; the bound
// leaves room for a machine that does other things.
func (p processes) follow(ctx context.Context, t *testing.T, session string) time.Duration {
	t.Helper()
	from := time.Now()
	for name, address := range p {
		require.Eventually(t, func() bool {
			_, now, err := devtest.Decides(ctx, address)
			return err == nil && now == session
		}, 15*time.Second, 50*time.Millisecond, "%s decides with session %s", name, session)
	}
	return time.Since(from)
}

// says is what a process's /ready says; both kinds stay ready.
func (p processes) says(ctx context.Context, t *testing.T, name string) string {
	t.Helper()
	status, page, err := devtest.Get(ctx, p[name]+"/ready")
	require.NoError(t, err)
	require.Equal(t, 200, status, page)
	return page
}

// TestEveryProcessFollows: apis and workers serve a new session without a restart. A worker
// that lacks its files says so, serves on with the session before, and serves the new one
// when the files are there.
func TestEveryProcessFollows(t *testing.T) {
	t.Parallel()
	s := devtest.Start(t, devtest.Options{Environment: map[string]string{"ENGINE_PYTHON": "on"}})
	ctx := deadline(t, 5*time.Minute)
	activate := func(n int) string {
		t.Helper()
		session, status, err := upload(ctx, s, fmt.Sprintf(stays, n), true)
		require.NoError(t, err)
		require.Equal(t, 200, status)
		return session
	}
	before := activate(0)

	// The directory that the processes apart read files from. Their worker polls a queue
	// where no request asks it to validate what it cannot read.
	apart, shared := t.TempDir(), filepath.Join(s.Dir, "artifacts")
	require.NoError(t, os.CopyFS(apart, os.DirFS(shared)))
	lacking := map[string]string{"ARTIFACTS_URL": apart, "TEMPORAL_TASK_QUEUE": "apart", "WORKER_SCHEDULES": "false"}
	all, whole, lack := processes{
		devtest.API:    s.APIMetrics,
		devtest.Worker: s.WorkerMetrics,
	}, processes{devtest.API: s.APIMetrics, devtest.Worker: s.WorkerMetrics}, processes{}
	beside := func(part, name string, environment map[string]string, as processes) {
		address, err := s.Beside(ctx, part, name, environment)
		require.NoError(t, err)
		as[name], all[name] = address, address
	}
	beside(devtest.API, "api-2", nil, whole)
	beside(devtest.Worker, "worker-2", nil, whole)
	beside(devtest.API, "api-apart", lacking, whole) // an api asks a worker, and needs no files
	beside(devtest.Worker, "worker-apart", lacking, lack)
	all.follow(ctx, t, before)
	for name := range all {
		require.NotContains(t, all.says(ctx, t, name), "cannot be loaded", name)
	}

	after := activate(1)
	t.Logf("three apis and two workers serve it within %s of the answer",
		whole.follow(ctx, t, after).Round(time.Millisecond))
	for name := range lack {
		require.Eventually(t, func() bool {
			return strings.Contains(all.says(ctx, t, name), "the live session "+after+" cannot be loaded here")
		}, 15*time.Second, 100*time.Millisecond, name)
	}
	lack.follow(ctx, t, before) // they keep what they had
	for name, address := range all {
		_, page, err := devtest.Get(ctx, address+"/metrics")
		require.NoError(t, err)
		serves := "spotkeeper_engine_serves_what_it_should 1\n"
		if lack[name] != "" {
			serves = "spotkeeper_engine_serves_what_it_should 0\n"
		}
		require.Contains(t, page, serves, name)
	}

	require.NoError(t, os.CopyFS(filepath.Join(apart, after), os.DirFS(filepath.Join(shared, after))))
	for name, address := range lack { // it is tried again every fifteen seconds
		require.Eventually(t, func() bool {
			_, now, err := devtest.Decides(ctx, address)
			return err == nil && now == after && !strings.Contains(all.says(ctx, t, name), "cannot be loaded")
		}, time.Minute, 200*time.Millisecond, name)
	}
}
