package hooks

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	// kept is how much of a hook's output is kept.
	kept = 4 << 10
	// grace is what a hook has between SIGTERM and SIGKILL.
	grace = 2 * time.Second
)

// Exit codes of hooks that did not end by themselves.
const (
	NotStarted = 127
	TimedOut   = 124
)

// Occasion is the input of a hook: the event, its reason and its deadline.
type Occasion struct {
	Event      Event
	Reason     string
	AgentID    string
	InstanceID string
	Role       string
	PeerID     string    // the other instance: the successor, or the one that was replaced
	Deadline   time.Time // zero when there is none
	Left       time.Duration
	Attempt    int // above one when an earlier run of this hook was cut off
}

func (o Occasion) environment() []string {
	deadline := ""
	if !o.Deadline.IsZero() {
		deadline = o.Deadline.UTC().Format(time.RFC3339)
	}
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8",
		"SPOTKEEPER_EVENT=" + string(o.Event), "SPOTKEEPER_REASON=" + o.Reason, "SPOTKEEPER_AGENT_ID=" + o.AgentID,
		"SPOTKEEPER_INSTANCE_ID=" + o.InstanceID, "SPOTKEEPER_ROLE=" + o.Role, "SPOTKEEPER_PEER_ID=" + o.PeerID,
		"SPOTKEEPER_DEADLINE=" + deadline, "SPOTKEEPER_SECONDS_LEFT=" + strconv.Itoa(int(max(o.Left, 0)/time.Second)),
		"SPOTKEEPER_ATTEMPT=" + strconv.Itoa(max(o.Attempt, 1)),
	}
}

// Result is how a run ended.
type Result struct {
	Exit   int    // the program's, or NotStarted, TimedOut, or 128 + the signal that ended it
	Output string // the last 4 KB
}

// Run starts one hook and returns when its whole process group is gone. The end of ctx
// ends it: with SIGTERM first and SIGKILL two seconds later.
func Run(ctx context.Context, p Program, o Occasion) Result {
	said := &tail{}
	cmd := exec.CommandContext(ctx, p.Path) //nolint:gosec // the operator's program
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = o.environment(), "/", said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return signalGroup(cmd.Process, syscall.SIGTERM) }
	cmd.WaitDelay = grace
	if err := cmd.Start(); err != nil {
		return Result{NotStarted, err.Error()}
	}
	err := cmd.Wait()
	// What it has started and left behind goes with it.
	_ = signalGroup(cmd.Process, syscall.SIGKILL)
	return Result{exitCode(ctx, cmd, err), said.String()}
}

func signalGroup(p *os.Process, signal syscall.Signal) error {
	err := syscall.Kill(-p.Pid, signal)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

func exitCode(ctx context.Context, cmd *exec.Cmd, err error) int {
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		return TimedOut
	case status.Signaled():
		return 128 + int(status.Signal())
	case status.Exited():
		return status.ExitStatus() // also when a child kept the output open
	}
	return NotStarted
}

// RunGroup runs programs side by side, and calls ended with each result as it comes.
func RunGroup(ctx context.Context, group []Program, occasion func(Program) Occasion, ended func(Program, Result)) {
	var all sync.WaitGroup
	for _, p := range group {
		all.Go(func() { ended(p, Run(ctx, p, occasion(p))) })
	}
	all.Wait()
}

// tail keeps the end of what is written to it.
type tail struct {
	mu      sync.Mutex
	content []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(p)
	if n > kept {
		p = p[n-kept:]
	}
	if over := len(t.content) + len(p) - kept; over > 0 {
		t.content = t.content[:copy(t.content, t.content[over:])]
	}
	t.content = append(t.content, p...)
	return n, nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.content)
}
