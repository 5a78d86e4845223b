package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/devtest"
	"spotkeeper/deploy/dev/stack"
	"spotkeeper/internal/testkit/scratch"
)

// command is the program that people start, with its output in files.
type command struct {
	process   *exec.Cmd
	out, err  string
	addresses stack.Addresses
}

// run starts the whole stack in one process and waits for its addresses.
func run(t *testing.T, dir string, args ...string) *command {
	t.Helper()
	c := &command{out: filepath.Join(t.TempDir(), "out"), err: filepath.Join(t.TempDir(), "err")}
	out, err := os.Create(c.out)
	require.NoError(t, err)
	defer func() { _ = out.Close() }()
	log, err := os.Create(c.err)
	require.NoError(t, err)
	defer func() { _ = log.Close() }()
	args = append([]string{
		"stack", "--json", "--no-demo", "--dir", dir, "--ec2-delays", "none", "--api-port", "0", "--ui-port", "0",
		"--temporal-port", "0", "--postgres-port", "0", "--ec2-port", "0", "--metrics-port", "0",
		"--api-metrics-port", "0",
	}, args...)
	c.process = exec.Command(devtest.Program(t), args...)
	c.process.Stdout, c.process.Stderr = out, log
	require.NoError(t, c.process.Start())
	t.Cleanup(func() {
		if c.process.ProcessState == nil {
			_ = c.process.Process.Kill()
			_ = c.process.Wait()
		}
	})
	require.Eventually(t, func() bool {
		content, err := os.ReadFile(c.out)
		return err == nil && bytes.HasSuffix(content, []byte("\n")) && json.Unmarshal(content, &c.addresses) == nil
	}, 2*time.Minute, 50*time.Millisecond, "%s", c.log(t))
	return c
}

func (c *command) log(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(c.err)
	require.NoError(t, err)
	return string(content)
}

// wait returns the exit code.
func (c *command) wait(t *testing.T) int {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = c.process.Wait() // The exit code says it.
	}()
	select {
	case <-ended:
		return c.process.ProcessState.ExitCode()
	case <-time.After(2 * time.Minute):
		require.Fail(t, "the stack does not end", c.log(t))
		return -1
	}
}

func openDir(t *testing.T) string {
	t.Helper()
	dir, err := scratch.InMemory("spotkeeper-e2e-", 1<<30)
	require.NoError(t, err)
	t.Cleanup(dir.Remove)
	return filepath.Join(dir.Path, "state")
}

// TestTheCommandStopsCleanlyAndReusesItsState: a stack is interrupted, and the next
// one, which is asked to end, finds its state.
func TestTheCommandStopsCleanlyAndReusesItsState(t *testing.T) {
	t.Parallel()
	dir := openDir(t)

	first := run(t, dir)
	require.NotEmpty(t, first.addresses.OperatorToken)
	require.Contains(t, first.addresses.Console, "/login#token=")
	strangers := &devtest.Stack{Addresses: first.addresses}
	status, err := strangers.Call(deadline(t, time.Minute), "GET", "/api/admin/clients", "", nil, nil)
	require.NoError(t, err)
	require.Equal(t, 401, status, "a page that is open in a browser is no operator")
	who := newTenant(t, &devtest.Stack{Addresses: first.addresses})
	requireTakenIsSaid(t, first, dir)
	require.NoError(t, first.process.Process.Signal(os.Interrupt))
	require.Zero(t, first.wait(t), first.log(t))
	require.Contains(t, first.log(t), "stopped")

	second := run(t, dir)
	require.Equal(t, first.addresses.OperatorToken, second.addresses.OperatorToken, "it stays good")
	register(t, &devtest.Stack{Addresses: second.addresses}, who, "web", "i-0123456789abcdef0")
	require.NoError(t, second.process.Process.Signal(syscall.SIGTERM))
	require.Zero(t, second.wait(t), second.log(t))
}

func TestTheEndOfOnePartStopsTheRestWithAReason(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	c := run(t, dir)

	require.NoError(t, syscall.Kill(postmaster(t, dir), syscall.SIGKILL))

	require.Equal(t, 1, c.wait(t))
	require.Contains(t, c.log(t), "postgres ended, so the rest is stopped too")
}

func postmaster(t *testing.T, dir string) int {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, "postgres", "data", "postmaster.pid"))
	require.NoError(t, err)
	first, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(first)
	require.NoError(t, err)
	return pid
}

// requireTakenIsSaid: a port and a directory that a running stack has are each
// refused in one sentence.
func requireTakenIsSaid(t *testing.T, c *command, dir string) {
	t.Helper()
	_, port, found := strings.Cut(strings.TrimPrefix(c.addresses.API, "http://"), ":")
	require.True(t, found)

	for want, args := range map[string][]string{
		"port " + port + " is already in use: free it or choose another with --ec2-port": {"ec2sim", "--dir",
			openDir(t), "--ec2-port", port},
		"another stack already runs in " + dir: {"postgres", "--dir", dir, "--postgres-port", "0"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		out, err := exec.CommandContext(ctx, devtest.Program(t), args...).CombinedOutput()
		cancel()
		require.Error(t, err)
		require.Contains(t, string(out), want)
	}
}
