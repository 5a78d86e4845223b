package box

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"spotkeeper/internal/box/boxtest"
	"spotkeeper/internal/box/settings"
	"spotkeeper/internal/testkit/subprocess"
)

// The variables that make this test program an agent.
const (
	agentSettings = "BOX_TEST_SETTINGS" // JSON
	agentDiesAt   = "BOX_TEST_DIES_AT"  // a step
	agentDisk     = "BOX_TEST_DISK"     // full or read-only: how its state directory is
)

func TestMain(m *testing.M) {
	if content := os.Getenv(agentSettings); content != "" {
		if err := beAgent(content, os.Getenv(agentDiesAt)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// beAgent is a whole agent process that kills itself with -9 at a step.
func beAgent(content, diesAt string) error {
	var s settings.Settings
	if err := json.Unmarshal([]byte(content), &s); err != nil {
		return err
	}
	if err := spoilDisk(s.StateDir, os.Getenv(agentDisk)); err != nil {
		return err
	}
	a, err := New(s, "5.0.0-test", slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	a.reached = func(step string) {
		if step == diesAt {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return a.Run(ctx)
}

// spoilDisk mounts a disk of one megabyte that is full or read-only. The process has a mount
// namespace of its own.
func spoilDisk(dir, how string) error {
	if how == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := syscall.Mount("disk", dir, "tmpfs", 0, "size=1m"); err != nil {
		return err
	}
	if how == "read-only" {
		return syscall.Mount("disk", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, "size=1m")
	}
	err := os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, 2<<20), 0o600)
	if !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("the disk is not full: %w", err)
	}
	return nil
}

// box is an instance with the services that its agent calls.
type box struct {
	t     *testing.T
	s     settings.Settings
	imds  *boxtest.IMDS
	plane *boxtest.Plane
	dir   string
	trace string // each hook adds a line to this file when it starts and ends
	disk  string // how the state directory of the agent's process is
}

func newBox(t *testing.T) *box {
	t.Helper()
	dir := t.TempDir()
	b := &box{
		t:     t,
		imds:  boxtest.StartIMDS(t, "i-1"),
		plane: boxtest.StartPlane(t),
		dir:   dir,
		trace: filepath.Join(dir, "trace"),
	}
	s := settings.Default()
	s.API, s.AgentID, s.Join.Method, s.Join.Token = b.plane.URL, "web", settings.ClientToken, "secret"
	s.IMDS.Endpoint, s.IMDS.Poll = b.imds.URL, 10*time.Millisecond
	s.StateDir, s.Socket, s.Hooks.Dir = filepath.Join(dir, "state"), filepath.Join(dir,
		"agent.sock"), filepath.Join(dir, "hooks.d")
	s.Heartbeat, s.Hooks.Budget = 20*time.Millisecond, 30*time.Second
	b.s = s
	return b
}

// hook adds one that leaves a trace.
func (b *box) hook(name, script string) {
	b.t.Helper()
	path := filepath.Join(b.s.Hooks.Dir, name)
	require.NoError(b.t, os.MkdirAll(filepath.Dir(path), 0o755))
	text := fmt.Sprintf("#!/bin/sh\necho begin %s >> %s\n%s\necho end %s >> %s\n", name, b.trace, script, name, b.trace)
	require.NoError(b.t, os.WriteFile(path, []byte(text), 0o600))
	require.NoError(b.t, os.Chmod(path, 0o755))
}

// touch makes an empty file in the box's directory.
func (b *box) touch(name string) {
	b.t.Helper()
	require.NoError(b.t, os.WriteFile(filepath.Join(b.dir, name), nil, 0o600))
}

func (b *box) traces() []string {
	content, err := os.ReadFile(b.trace)
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(content)), "\n")
}

// start runs the agent as a process that may kill itself at a step.
func (b *box) start(diesAt string) *exec.Cmd {
	b.t.Helper()
	content, err := json.Marshal(b.s)
	require.NoError(b.t, err)
	log, err := os.OpenFile(filepath.Join(b.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = log.Close() })
	cmd := exec.Command(os.Args[0]) //nolint:noctx,gosec // it is ended below
	cmd.Env = append(os.Environ(), agentSettings+"="+string(content), agentDiesAt+"="+diesAt, agentDisk+"="+b.disk)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = subprocess.EndsWithParent(syscall.SIGKILL)
	if b.disk != "" {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	require.NoError(b.t, cmd.Start())
	b.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if b.t.Failed() {
			content, _ := os.ReadFile(filepath.Join(b.dir, "log"))
			b.t.Logf("%s", content)
		}
	})
	return cmd
}

// run runs the agent in this process until the test ends.
func (b *box) run() *Agent {
	b.t.Helper()
	a, err := New(b.s, "5.0.0-test", slog.New(slog.NewTextHandler(b.t.Output(), nil)))
	require.NoError(b.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	b.t.Cleanup(func() {
		cancel()
		require.NoError(b.t, <-ended)
	})
	return a
}

func (b *box) eventually(that func() bool, why ...any) {
	b.t.Helper()
	require.Eventually(b.t, that, 60*time.Second, 5*time.Millisecond, why...)
}

func (b *box) status() Status {
	var out Status
	_ = AskAgent(b.t.Context(), b.s.Socket, "GET", "/status", nil, &out)
	return out
}

func (b *box) allDone() bool {
	got := b.status().Notices
	for _, n := range got {
		if !n.Done {
			return false
		}
	}
	return len(got) > 0
}

// reportedHooks are the exits of hooks that the control plane knows.
func (b *box) reportedHooks() map[string]int {
	out := map[string]int{}
	for _, a := range b.plane.Arrivals("/hook-results") {
		for _, h := range a.Body["hooks"].([]any) {
			one := h.(map[string]any)
			out[one["name"].(string)] = int(one["exit"].(float64))
		}
	}
	return out
}
