package host

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/engine"
)

// child is one subprocess. Its owner calls ask and kill one at a time.
type child struct {
	cmd       *exec.Cmd
	questions io.WriteCloser
	answers   *os.File
	lines     chan line
	ended     chan struct{} // closed when the process is gone and reaped
	last      *tail
	what      string // in sentences
	isolation string
	serial    int
}

type line struct {
	data []byte
	err  error
}

// maxAnswer bounds one line; an answer is a few hundred bytes.
const maxAnswer = 1 << 20

// spawn starts a process in the first way that works. Fails with the kind's Off.
func spawn(ctx context.Context, k Kind, o Options) (*child, error) {
	ways, err := k.Ways(ctx, o)
	if err != nil {
		return nil, err
	}
	var refused error
	for _, way := range ways {
		c, err := startIn(ctx, k, o, way)
		if err == nil {
			return c, nil
		}
		refused = errors.Join(refused, err)
	}
	return nil, k.Off.Wrap(refused, "%s off: this machine cannot hold what was uploaded as it must be held (%s). Let the "+
		"process make namespaces and mounts, or say ENGINE_PYTHON=unsafe, which runs it with our files and network "+
		"in its reach.", k.Name, firstLine(refused))
}

func firstLine(err error) string {
	if err == nil {
		return "there is no way to start it"
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

func startIn(ctx context.Context, k Kind, o Options, way Way) (*child, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("a pipe: %w", err)
	}
	defer func() { _ = writer.Close() }() // ours of it; the child has its own
	c := &child{
		answers:   reader,
		lines:     make(chan line),
		ended:     make(chan struct{}),
		what:      k.What,
		last:      &tail{log: o.Log, what: k.What},
		isolation: way.Words,
	}
	if c.cmd, err = way.Command(); err != nil {
		_ = reader.Close()
		return nil, err
	}
	c.cmd.ExtraFiles = []*os.File{writer}
	c.cmd.Stderr = c.last
	c.cmd.WaitDelay = time.Second
	if c.questions, err = c.cmd.StdinPipe(); err == nil {
		err = way.Start(c.cmd)
	}
	if err != nil {
		_ = reader.Close()
		return nil, err
	}
	go c.reap()
	go c.read()
	if err := c.greet(ctx); err != nil {
		c.kill()
		return nil, err
	}
	return c, nil
}

// greet makes sure that the program runs at all: one that starts and fails at once is
// as good as none.
func (c *child) greet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, Greeting)
	defer cancel()
	a, err := c.ask(ctx, Request{})
	if err != nil {
		return err
	}
	if a.Error == "" { // nothing is loaded, so it must complain
		return errors.New("the program does not speak")
	}
	return nil
}

// Greeting is how long a program may take until its first line.
const Greeting = 15 * time.Second

const lastWords = 200 * time.Millisecond

// reap waits for the process.
func (c *child) reap() {
	_ = c.cmd.Wait()
	// A process that still holds the pipe does not delay the end; what was written is read.
	_ = c.answers.SetReadDeadline(time.Now().Add(lastWords))
	close(c.ended)
}

// read hands on what the child writes, line by line, until it ends; kill takes
// what was not asked for.
func (c *child) read() {
	defer close(c.lines)
	defer func() { _ = c.answers.Close() }()
	scanner := bufio.NewScanner(c.answers)
	scanner.Buffer(make([]byte, 0, 4096), maxAnswer)
	for scanner.Scan() {
		c.lines <- line{data: append([]byte(nil), scanner.Bytes()...)}
	}
	if errors.Is(scanner.Err(), bufio.ErrTooLong) {
		c.lines <- line{err: scanner.Err()}
	}
}

// ask sends one request and reads its answer. An error means that the child is
// no longer of use. Fails with engine.unavailable or engine.bad_answer.
func (c *child) ask(ctx context.Context, q Request) (Answer, error) {
	c.serial++
	q.ID = c.serial
	data, err := json.Marshal(q)
	if err != nil {
		return Answer{}, engine.Unavailable.Wrap(err, "the question for the %s could not be written down", c.what)
	}
	go func() { // a child that does not read would hold us up; kill ends this
		_, _ = c.questions.Write(append(data, '\n'))
	}()
	select {
	case <-ctx.Done():
		return Answer{}, c.unavailable("did not answer in time and was stopped", c.last.words())
	case l, open := <-c.lines:
		switch {
		case !open:
			<-c.ended
			return Answer{}, c.unavailable("died ("+c.cmd.ProcessState.String()+")", c.last.words())
		case l.err != nil:
			return Answer{}, c.unavailable("wrote more than an answer and was stopped", "")
		}
		return parse(c.what, q.ID, l.data)
	}
}

func (c *child) alive() bool {
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// kill ends the child and all it started, and returns when they are gone.
func (c *child) kill() {
	_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
	_ = c.questions.Close()
	<-c.ended
	for range c.lines { // until read has closed it
	}
}

// tail keeps the end of what the child prints, for the reason of its death.
type tail struct {
	mu   sync.Mutex
	end  []byte
	what string
	log  interface{ Debug(string, ...any) }
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = append(t.end, p...)
	t.end = t.end[max(len(t.end)-512, 0):]
	t.log.Debug("an uploaded engine printed", "engine", t.what, "text", string(p[:min(len(p), 512)]))
	return len(p), nil
}

// words is the last line that says anything.
func (t *tail) words() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(strings.ToValidUTF8(string(t.end), "?")), "\n")
	return lines[len(lines)-1]
}

// unavailable says why a call ended, and what the child said last.
func (c *child) unavailable(why, said string) *fault.Error {
	if said != "" {
		return engine.Unavailable.New("the %s %s; its last words: %s", c.what, why, said)
	}
	return engine.Unavailable.New("the %s %s", c.what, why)
}
