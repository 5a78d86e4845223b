package postgres

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/embedded/loopback"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestWhatWasCommittedSurvivesKill9(t *testing.T) {
	t.Parallel()
	free, err := loopback.Free(1)
	require.NoError(t, err)
	dir, port := filepath.Join(openDir(t), "postgres"), free[0]
	server := spawn(t, dir, port, nil)
	url := connectionURL(port, database)
	execute(t, url, `CREATE TABLE kept (n int)`)

	for round := range 3 {
		execute(t, url, `INSERT INTO kept VALUES (1)`)
		require.NoError(t, server.Process.Kill())
		_ = server.Wait() // "signal: killed" is what was asked for
		server = spawn(t, dir, port, nil)
		require.Equal(t, round+1, count(t, url))
	}
}

func TestTheServerDiesWithTheStackThatRunsIt(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/cwd"); err != nil {
		return // Only Linux sends a child the signal; elsewhere the next start stops it.
	}
	free, err := loopback.Free(1)
	require.NoError(t, err)
	dir := filepath.Join(openDir(t), "postgres")
	server := spawn(t, dir, free[0], nil)

	require.NoError(t, server.Process.Kill())
	_ = server.Wait()

	require.Eventually(t, func() bool {
		_, err := loopback.Claim(free[0], "postgres-port")
		return err == nil
	}, 10*time.Second, 20*time.Millisecond)
}

func TestItRunsForAUserWhoIsNotRoot(t *testing.T) {
	t.Parallel()
	free, err := loopback.Free(1)
	require.NoError(t, err)
	parent := openDir(t)
	who, err := newOwner(os.Geteuid())
	require.NoError(t, err)
	require.NoError(t, who.claim(parent))

	spawn(t, filepath.Join(parent, "postgres"), free[0], who.as)

	execute(t, connectionURL(free[0], database), `CREATE TABLE kept (n int)`)
}
