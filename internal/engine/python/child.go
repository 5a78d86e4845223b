package python

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

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
	isolation string
	serial    int
}

type line struct {
	data []byte
	err  error
}

// maxAnswer bounds one line; an answer is a few hundred bytes.
const maxAnswer = 1 << 20

// spawn starts the harness in a sandbox, or with Options.Unsafe and where there is no
// sandbox, without one. Fails with python.off.
func spawn(ctx context.Context, o Options) (*child, error) {
	missing, refused := error(nil), error(nil)
	for _, name := range interpreters(o.Interpreter) {
		found, err := examine(ctx, name)
		if err != nil {
			missing = err
			continue
		}
		for _, way := range ways(o, found) {
			c, err := startIn(ctx, o, way)
			if err == nil {
				return c, nil
			}
			refused = errors.Join(refused, err)
		}
	}
	if refused == nil {
		return nil, Off.Wrap(missing, "python off: the interpreter %q cannot be run", o.Interpreter)
	}
	return nil, Off.Wrap(refused, "python off: this machine cannot hold uploaded code as it must be held (%s). Let the "+
		"process make namespaces and mounts, or say ENGINE_PYTHON=unsafe, which runs the code with our files and network "+
		"in its reach.", firstLine(refused))
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// interpreters lists what may be meant by a name: the one in the path, and the
// system's own, because the one in the path may lie where an unprivileged user
// cannot read.
func interpreters(name string) []string {
	var found []string
	if path, err := exec.LookPath(name); err == nil {
		found = append(found, path)
	}
	if !strings.ContainsRune(name, filepath.Separator) {
		found = append(found, filepath.Join("/usr/bin", name), filepath.Join("/usr/local/bin", name))
	}
	if len(found) == 0 {
		found = []string{name}
	}
	return found
}

func startIn(ctx context.Context, o Options, way way) (*child, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("a pipe: %w", err)
	}
	defer func() { _ = writer.Close() }() // ours of it; the child has its own
	c := &child{
		answers:   reader,
		lines:     make(chan line),
		ended:     make(chan struct{}),
		last:      &tail{log: o.Log},
		isolation: way.words,
	}
	if c.cmd, err = way.command(harnessArgs(o), environment); err != nil {
		_ = reader.Close()
		return nil, err
	}
	c.cmd.ExtraFiles = []*os.File{writer}
	c.cmd.Stderr = c.last
	c.cmd.WaitDelay = time.Second
	if c.questions, err = c.cmd.StdinPipe(); err == nil {
		err = way.start(c.cmd)
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

func harnessArgs(o Options) []string {
	return []string{"-I", "-B", "-c", harness, strconv.FormatInt(o.Memory, 10), strconv.Itoa(int(o.CPU.Seconds()))}
}

// environment is all of a child's.
var environment = []string{"PATH=/usr/bin:/bin", "HOME=/nonexistent", "LANG=C.UTF-8", "OMP_NUM_THREADS=1",
	"OPENBLAS_NUM_THREADS=1", "MKL_NUM_THREADS=1", "JOBLIB_MULTIPROCESSING=0"}

// greet makes sure that the harness runs at all: an interpreter that starts and
// fails at once is as good as none.
func (c *child) greet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, greeting)
	defer cancel()
	a, err := c.ask(ctx, request{})
	if err != nil {
		return err
	}
	if a.Error == "" { // nothing is loaded, so it must complain
		return errors.New("the harness does not speak")
	}
	return nil
}

const (
	greeting  = 15 * time.Second
	lastWords = 200 * time.Millisecond
)

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
// of no use any more. Fails with engine.unavailable or engine.bad_answer.
func (c *child) ask(ctx context.Context, q request) (answer, error) {
	c.serial++
	q.ID = c.serial
	data, err := json.Marshal(q)
	if err != nil {
		return answer{}, engine.Unavailable.Wrap(err, "the question for the Python engine could not be written down")
	}
	go func() { // a child that does not read would hold us up; kill ends this
		_, _ = c.questions.Write(append(data, '\n'))
	}()
	select {
	case <-ctx.Done():
		return answer{}, unavailable("did not answer in time and was stopped", c.last.words())
	case l, open := <-c.lines:
		switch {
		case !open:
			<-c.ended
			return answer{}, unavailable("died ("+c.cmd.ProcessState.String()+")", c.last.words())
		case l.err != nil:
			return answer{}, unavailable("wrote more than an answer and was stopped", "")
		}
		return parse(q.ID, l.data)
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
	mu  sync.Mutex
	end []byte
	log interface{ Debug(string, ...any) }
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = append(t.end, p...)
	t.end = t.end[max(len(t.end)-512, 0):]
	t.log.Debug("python engine printed", "text", string(p[:min(len(p), 512)]))
	return len(p), nil
}

// words is the last line that says anything.
func (t *tail) words() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(strings.ToValidUTF8(string(t.end), "?")), "\n")
	return lines[len(lines)-1]
}
