package postgres

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/embedded/dirlock"
	"spotkeeper/deploy/dev/embedded/loopback"
)

func TestARestartKeepsWhatWasCommitted(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openDir(t), "postgres")

	first := start(t, Options{Dir: dir})
	execute(t, first.URL, `CREATE TABLE kept (n int)`, `INSERT INTO kept VALUES (1), (2)`)
	stop(t, first)

	second := start(t, Options{Dir: dir, Port: first.Port})
	defer stop(t, second)
	require.Equal(t, first.URL, second.URL)
	require.Equal(t, 2, count(t, second.URL))
}

func TestItListensOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openDir(t), "postgres")
	server := start(t, Options{Dir: dir})
	defer stop(t, server)

	content, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	require.NoError(t, err)
	lines := strings.Split(string(content), "\n")
	require.Equal(t, loopback.Host, lines[5])
	require.Empty(t, lines[4], "no unix socket")
}

func TestATakenPortIsOneSentenceNamingTheFlag(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", loopback.Addr(0))
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	port := taken.Addr().(*net.TCPAddr).Port

	_, err = Start(deadline(t), Options{Dir: filepath.Join(openDir(t), "postgres"), Port: port})

	var takenError *loopback.TakenError
	require.ErrorAs(t, err, &takenError)
	require.Equal(t, &loopback.TakenError{Port: port, Flag: "postgres-port"}, takenError)
	require.Regexp(t, `^port \d+ is already in use: .* --postgres-port .*$`, err.Error())
}

func TestADirectoryIsRunByOneProcess(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openDir(t), "postgres")
	server := start(t, Options{Dir: dir})
	defer stop(t, server)

	_, err := Start(deadline(t), Options{Dir: dir})

	var held *dirlock.HeldError
	require.ErrorAs(t, err, &held)
	require.ErrorContains(t, err, "--dir")
}

func TestADirectoryTheUserCannotReachBecomesALink(t *testing.T) {
	t.Parallel()
	who, err := newOwner(os.Geteuid())
	require.NoError(t, err)
	private := filepath.Join(t.TempDir(), "private")
	require.NoError(t, os.Mkdir(private, 0o700))
	dir := filepath.Join(private, "postgres")

	server := start(t, Options{Dir: dir})
	stop(t, server)

	target, err := os.Readlink(dir)
	if who.as == nil {
		require.Error(t, err, "it is one's own directory, nothing is in the way")
		return
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(target)) })
	again := start(t, Options{Dir: dir})
	defer stop(t, again)
	require.DirExists(t, filepath.Join(target, "data"))
}

func TestAServerLeftByAKilledStackIsStoppedFirst(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openDir(t), "postgres")
	left := start(t, Options{Dir: dir})
	execute(t, left.URL, `CREATE TABLE kept (n int)`, `INSERT INTO kept VALUES (1)`)
	left.lock.Release() // what the kernel does when the process dies

	next := start(t, Options{Dir: dir, Port: left.Port})
	defer stop(t, next)

	require.Equal(t, 1, count(t, next.URL))
	select {
	case err := <-left.Failed():
		require.ErrorContains(t, err, "ended by itself")
	case <-time.After(10 * time.Second):
		require.Fail(t, "the first server still runs")
	}
}

func TestARecycledProcessNumberIsNotStopped(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openDir(t), "postgres")
	stop(t, start(t, Options{Dir: dir}))
	// The number of the test itself: stopping it would end the test.
	lockFile := filepath.Join(dir, "data", "postmaster.pid")
	require.NoError(t, os.WriteFile(lockFile, []byte(strings.Join([]string{itoa(os.Getpid()), dir, "0"}, "\n")), 0o600))

	server := start(t, Options{Dir: dir})
	stop(t, server)

	_, err := os.Stat(lockFile)
	require.ErrorIs(t, err, fs.ErrNotExist)
}
