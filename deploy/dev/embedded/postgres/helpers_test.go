package postgres

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// openDir is a temporary directory that all users may enter, as a checkout usually
// is; t.TempDir's are private.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "spotkeeper-test-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func start(t *testing.T, o Options) *Server {
	t.Helper()
	server, err := Start(deadline(t), o)
	require.NoError(t, err)
	return server
}

func stop(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	require.NoError(t, s.Stop(ctx))
}

func execute(t *testing.T, url string, statements ...string) {
	t.Helper()
	connection, err := pgx.Connect(deadline(t), url)
	require.NoError(t, err)
	for _, statement := range statements {
		_, err := connection.Exec(deadline(t), statement)
		require.NoError(t, err)
	}
	require.NoError(t, connection.Close(deadline(t)))
}

func count(t *testing.T, url string) int {
	t.Helper()
	connection, err := pgx.Connect(deadline(t), url)
	require.NoError(t, err)
	var n int
	require.NoError(t, connection.QueryRow(deadline(t), `SELECT count(*) FROM kept`).Scan(&n))
	require.NoError(t, connection.Close(deadline(t)))
	return n
}

// spawn runs this test program as a server process of its own, as the given
// user when one is given. The program is copied, since where go test puts it
// another user cannot go.
func spawn(t *testing.T, dir string, port int, as *syscall.Credential) *exec.Cmd {
	t.Helper()
	command := exec.Command(copyOfSelf(t), "serve", dir, strconv.Itoa(port))
	command.Stderr, command.Dir = os.Stderr, "/"
	command.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	output, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	line, err := bufio.NewReader(output).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", line)
	return command
}

// copyOfSelf leaves the copying to another process: a program that this one had
// open for writing cannot be run while a child that is just being started still
// has the descriptor.
func copyOfSelf(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	require.NoError(t, err)
	target := filepath.Join(openDir(t), "serve")
	out, err := exec.CommandContext(deadline(t), "cp", path, target).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.NoError(t, os.Chmod(target, 0o755))
	return target
}
