// Package pgserver runs a Postgres of its own from the binaries of the machine:
// for tests and for programs that want a server which leaves nothing behind.
package pgserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/pghost"
	"spotkeeper/internal/testkit/subprocess"
)

// Server is a running Postgres, listening on loopback only.
type Server struct {
	Port     int
	programs pghost.Programs
	dir      string
	who      *syscall.SysProcAttr
	cmd      *exec.Cmd
	done     chan struct{} // closed when it has ended
	end      error         // how
}

// Start makes a cluster in dir and runs it without regard for durability, which
// no test of ours needs from it.
func Start(ctx context.Context, dir string) (*Server, error) {
	programs, err := pghost.Find(ctx, 0)
	if err != nil {
		return nil, fmt.Errorf(
			"%w: install postgresql, or set SPOTKEEPER_TEST_DATABASE_URL to a server where databases may be created", err)
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	who, err := unprivileged(dir)
	if err != nil {
		return nil, err
	}
	initdb := exec.CommandContext(ctx, programs.Path("initdb"), "-D", filepath.Join(dir, "data"), "-U", "postgres",
		"-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions", "--locale=C")
	initdb.SysProcAttr, initdb.Dir = who, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	s := &Server{Port: port, programs: programs, dir: dir, who: who}
	if err := s.run(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Demote stops the server and starts it again on the same port as a hot standby,
// which only reads until pg_promote ends its recovery. It follows no primary.
func (s *Server) Demote(ctx context.Context) error {
	_ = s.cmd.Process.Signal(syscall.SIGINT) // as a failover does it: cleanly, and without waiting for clients
	<-s.done
	signal := filepath.Join(s.data(), "standby.signal")
	if err := os.WriteFile(signal, nil, 0o644); err != nil { //nolint:gosec // the server's user must read it
		return err
	}
	return s.run(ctx)
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// run starts the cluster and waits until it answers.
func (s *Server) run(ctx context.Context) error {
	file := filepath.Join(s.dir, "postgres.log")
	log, err := os.OpenFile(filepath.Clean(file), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	args := []string{"-D", s.data(), "-p", strconv.Itoa(s.Port), "-k", "", "-h", "127.0.0.1",
		"-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "max_connections=300",
		"-c", "shared_buffers=128MB"}
	cmd := exec.Command(s.programs.Path("postgres"), args...) //nolint:noctx // it outlives the start
	cmd.SysProcAttr, cmd.Dir, cmd.Stdout, cmd.Stderr = s.who, s.dir, log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmd, s.done = cmd, make(chan struct{})
	go func(done chan struct{}) {
		s.end = cmd.Wait()
		close(done)
	}(s.done)
	if err := s.await(ctx); err != nil {
		s.Stop()
		return err
	}
	return nil
}

// URL returns the address of one of the server's databases.
func (s *Server) URL(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", s.Port, database)
}

// Stop ends the server at once.
func (s *Server) Stop() {
	_ = s.cmd.Process.Signal(syscall.SIGQUIT)
	<-s.done
}

func (s *Server) await(ctx context.Context) error {
	return awaitConnection(ctx, "postgres", s.URL("postgres"), s.done, func() error { return s.end })
}

// awaitConnection connects until the process called name answers. done is closed when that
// has ended, and why says then what of.
func awaitConnection(ctx context.Context, name, url string, done <-chan struct{}, why func() error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, url)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not come up: %w", name, err)
		case <-done:
			return fmt.Errorf("%s ended while starting: %w", name, errors.Join(why(), err))
		case <-tick.C:
		}
	}
}

// unprivileged returns how to start a program that refuses to run as root, and
// gives dir to the user it will run as.
func unprivileged(dir string) (*syscall.SysProcAttr, error) {
	attr := subprocess.EndsWithParent(syscall.SIGQUIT)
	as, err := pghost.ServerUser(os.Geteuid())
	if err != nil || as == nil {
		return attr, err
	}
	attr.Credential = as
	return attr, os.Chown(dir, int(as.Uid), int(as.Gid))
}

func freePort(ctx context.Context) (int, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().(*net.TCPAddr).Port, nil
}
