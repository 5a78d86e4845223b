package pgserver

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Follow makes a streaming replica of the server in dir and runs it as a hot standby.
// From then on the server acknowledges no transaction that the replica has not: what
// was acknowledged is there after a Promote.
func (s *Server) Follow(ctx context.Context, dir string) (*Server, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	who, err := unprivileged(dir)
	if err != nil {
		return nil, err
	}
	standby := &Server{Port: port, programs: s.programs, dir: dir, who: who}
	from := fmt.Sprintf("host=127.0.0.1 port=%d user=postgres application_name=standby", s.Port)
	if err := standby.command(ctx, "pg_basebackup", "-D", standby.data(), "-R", "-X", "stream", "-c", "fast", "-d", from); err != nil {
		return nil, err
	}
	if err := standby.run(ctx); err != nil {
		return nil, err
	}
	for _, setting := range []string{
		`ALTER SYSTEM SET synchronous_standby_names = 'standby'`,
		`ALTER ROLE postgres SET synchronous_commit = on`, // which the server's command line turns off
		`SELECT pg_reload_conf()`,
	} {
		if err := s.command(ctx, "psql", "-X", "-q", "-d", s.URL("postgres"), "-c", setting); err != nil {
			standby.Stop()
			return nil, err
		}
	}
	return standby, nil
}

// Promote ends the recovery of a standby. It waits for no transaction's
// acknowledgement by a replica any more.
func (s *Server) Promote(ctx context.Context) error {
	return s.command(ctx, "pg_ctl", "promote", "-w", "-D", s.data())
}

// Copy is a base backup of the running server in dir, which Restore starts from.
func (s *Server) Copy(ctx context.Context, dir string) error {
	if _, err := unprivileged(dir); err != nil {
		return err
	}
	return s.command(ctx, "pg_basebackup", "-D", filepath.Join(dir, "data"), "-X", "stream", "-c", "fast",
		"-d", fmt.Sprintf("host=127.0.0.1 port=%d user=postgres", s.Port))
}

// command runs one of the installation's programs as the server's user.
func (s *Server) command(ctx context.Context, program string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.programs.Path(program), args...)
	cmd.SysProcAttr, cmd.Dir = s.who, s.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, strings.TrimSpace(string(out)))
	}
	return nil
}
