// Package child runs other programs under the stack: apart from the terminal,
// so that a Ctrl-C reaches the stack alone and it decides who stops when, and
// not beyond the stack's own life where the system can see to that.
package child

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

// Process is a running program.
type Process struct {
	command *exec.Cmd
	ended   chan struct{}
	err     error
}

// Start runs the command, as another user when one is given, and sees it to
// its end. Its output must go to files: the command's Wait is not to hang on a
// grandchild that keeps a pipe open.
func Start(command *exec.Cmd, as *syscall.Credential) (*Process, error) {
	command.SysProcAttr = attributes(as)
	p := &Process{command: command, ended: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The signal for a parent's death is sent when the *thread* that
		// started the child ends, so this one is kept until the child's end.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.ended)
		err := command.Start()
		started <- err
		if err == nil {
			p.err = command.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("run %s: %w", command.Path, err)
	}
	return p, nil
}

// PID is the program's process number.
func (p *Process) PID() int { return p.command.Process.Pid }

// Signal sends a signal; to a program that has ended already it does nothing.
func (p *Process) Signal(s os.Signal) error {
	if err := p.command.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", p.command.Path, err)
	}
	return nil
}

// Ended is closed when the program has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Reason is how the program ended. Call it after Ended was closed.
func (p *Process) Reason() string {
	if p.err == nil {
		return "it left"
	}
	return p.err.Error()
}

// Tail is the last n lines of a log file, or why there are none.
func Tail(path string, n int) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
