package devtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"spotkeeper/deploy/dev/embedded/child"
)

// Kill ends a part with kill -9 and returns when it is gone. For Postgres that
// is the server itself, which the kernel kills with the process that runs it.
// Kill, Stop and Restart may be called from any goroutine.
func (s *Stack) Kill(part string) error {
	p, err := s.part(part)
	if err != nil {
		return err
	}
	return p.kill()
}

// Stop asks a part to end and waits for it; one that does not is killed, and
// that is an error.
func (s *Stack) Stop(ctx context.Context, part string) error {
	p, err := s.part(part)
	if err != nil {
		return err
	}
	return p.stop(ctx)
}

// Restart starts a part that was killed or stopped, on its old addresses, and
// returns when it is ready. One that runs is killed first.
func (s *Stack) Restart(ctx context.Context, part string) error {
	p, err := s.part(part)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	if err := p.kill(); err != nil {
		return err
	}
	return p.start(ctx)
}

// LoseTemporal kills the Temporal server and starts a new one that has stored
// nothing, as after the loss of its disk. Postgres keeps everything.
func (s *Stack) LoseTemporal(ctx context.Context) error {
	if err := s.Kill(Temporal); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(s.Dir, "state", "temporal.db*"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return errors.New("find what Temporal has stored: there is no such file")
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			return fmt.Errorf("lose what Temporal has stored: %w", err)
		}
	}
	return s.Restart(ctx, Temporal)
}

// PID is the process number of a part, for measurements; 0 when it never ran.
func (s *Stack) PID(part string) int {
	p, err := s.part(part)
	if err != nil {
		return 0
	}
	return p.pid()
}

// Log is the last lines of what a part wrote to its standard error.
func (s *Stack) Log(part string, lines int) string {
	p, err := s.part(part)
	if err != nil {
		return err.Error()
	}
	return child.Tail(p.stderr(), lines)
}

func (s *Stack) part(name string) (*program, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.parts[name]; ok {
		return p, nil
	}
	return nil, fmt.Errorf("a stack has no part %q", name)
}
