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
	// Temporal gives its own services half a minute to start, which a busy machine can exceed.
	for try := 1; ; try++ {
		if err := p.kill(); err != nil {
			return err
		}
		if err := p.start(ctx); err == nil || try == 3 || ctx.Err() != nil {
			return err
		}
	}
}

// LoseTemporal kills the Temporal server and starts a new one that has stored
// nothing, as after the loss of its disk. Postgres keeps everything.
func (s *Stack) LoseTemporal(ctx context.Context) error {
	if err := s.Kill(Temporal); err != nil {
		return err
	}
	if err := s.removeTemporal(); err != nil {
		return err
	}
	return s.Restart(ctx, Temporal)
}

// temporalFiles are what Temporal has stored.
func (s *Stack) temporalFiles() ([]string, error) {
	files, err := filepath.Glob(filepath.Join(s.Dir, "state", "temporal.db*"))
	if err == nil && len(files) == 0 {
		err = errors.New("find what Temporal has stored: there is no such file")
	}
	return files, err
}

func (s *Stack) removeTemporal() error {
	files, err := s.temporalFiles()
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			return fmt.Errorf("lose what Temporal has stored: %w", err)
		}
	}
	return nil
}

// SaveTemporal stops the Temporal server, copies what it has stored and starts it again.
// back kills it later and starts it on the copy, as after a restore from a backup.
func (s *Stack) SaveTemporal(ctx context.Context) (back func(context.Context) error, err error) {
	if err := s.Stop(ctx, Temporal); err != nil {
		return nil, err
	}
	files, err := s.temporalFiles()
	if err != nil {
		return nil, err
	}
	saved := map[string][]byte{}
	for _, file := range files {
		if saved[file], err = os.ReadFile(filepath.Clean(file)); err != nil {
			return nil, fmt.Errorf("save what Temporal has stored: %w", err)
		}
	}
	back = func(ctx context.Context) error {
		if err := s.Kill(Temporal); err != nil {
			return err
		}
		if err := s.removeTemporal(); err != nil {
			return err
		}
		for file, content := range saved {
			if err := os.WriteFile(file, content, 0o600); err != nil {
				return fmt.Errorf("restore what Temporal has stored: %w", err)
			}
		}
		return s.Restart(ctx, Temporal)
	}
	return back, s.Restart(ctx, Temporal)
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
