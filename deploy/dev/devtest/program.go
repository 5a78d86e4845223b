package devtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"spotkeeper/deploy/dev/embedded/child"
)

// program is one part: its start, and the check that it is ready.
type program struct {
	name  string
	path  string
	args  []string
	env   func() map[string]string
	ready func(ctx context.Context, p *program) error
	logs  string // directory
	// addresses says that the program prints its addresses to its standard
	// output, which else is its log.
	addresses bool

	mu      sync.Mutex // one start, kill or stop at a time
	process *child.Process
}

// client keeps no connections: the servers it asks come and go.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func (p *program) stdout() string { return filepath.Join(p.logs, p.name+".out") }
func (p *program) stderr() string { return filepath.Join(p.logs, p.name+".err") }

// start runs the program and waits until it is ready.
func (p *program) start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	out, err := os.OpenFile(p.stdout(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the output of %s: %w", p.name, err)
	}
	defer func() { _ = out.Close() }() // The child has its own descriptor.
	log, err := os.OpenFile(p.stderr(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", p.name, err)
	}
	defer func() { _ = log.Close() }()
	// It outlives this context: kill and stop end it.
	command := exec.Command(p.path, p.args...) //nolint:noctx
	command.Stdout, command.Stderr = out, log
	if !p.addresses {
		command.Stdout = log
	}
	command.Env = command.Environ()
	if p.env != nil {
		for name, value := range p.env() {
			command.Env = append(command.Env, name+"="+value)
		}
	}
	if p.process, err = child.Start(command, nil); err != nil {
		return err
	}
	return p.await(ctx)
}

func (p *program) await(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := p.ready(ctx, p)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.process.Ended():
			return fmt.Errorf("%s ended while it started: %s:\n%s", p.name, p.process.Reason(),
				child.Tail(p.stderr(), 20))
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w: %w:\n%s", p.name, ctx.Err(), err, child.Tail(p.stderr(), 20))
		}
	}
}

func (p *program) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process == nil {
		return 0
	}
	return p.process.PID()
}

// running is asked with the lock held.
func (p *program) running() bool {
	if p.process == nil {
		return false
	}
	select {
	case <-p.process.Ended():
		return false
	default:
		return true
	}
}

// kill is kill -9.
func (p *program) kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.end()
}

func (p *program) end() error {
	if !p.running() {
		return nil
	}
	if err := p.process.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.process.Ended()
	return nil
}

// stop asks the program to end, and kills it when it does not.
func (p *program) stop(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return nil
	}
	if err := p.process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.process.Ended():
		return nil
	case <-ctx.Done():
		if err := p.end(); err != nil {
			return err
		}
		return fmt.Errorf("%s did not stop and was killed: %w", p.name, ctx.Err())
	}
}

// printed is ready once the program has written a whole line to its output,
// which is its addresses.
func printed(_ context.Context, p *program) error {
	content, err := os.ReadFile(p.stdout())
	if err != nil {
		return err
	}
	if !bytes.HasSuffix(content, []byte("\n")) {
		return errors.New("it has not printed its addresses yet")
	}
	return nil
}

// answers is ready once the URL answers 200.
func answers(url string) func(context.Context, *program) error {
	return func(ctx context.Context, _ *program) error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", url, response.Status)
		}
		return nil
	}
}
