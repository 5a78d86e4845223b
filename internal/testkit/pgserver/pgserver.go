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
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"spotkeeper/internal/testkit/subprocess"
)

// ErrNoBinaries means that the machine has no Postgres server programs.
var ErrNoBinaries = errors.New(
	"no Postgres server binaries found: install postgresql, or set SPOTKEEPER_TEST_DATABASE_URL to a server where databases may be created",
)

// Server is a running Postgres, listening on loopback only.
type Server struct {
	Port     int
	bin, dir string
	who      *syscall.SysProcAttr
	cmd      *exec.Cmd
	done     chan struct{} // closed when it has ended
	end      error         // how
}

// BinDir finds the directory that holds initdb and postgres.
func BinDir() (string, error) {
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.Sort(dirs)
	slices.Reverse(dirs)
	if p, err := exec.LookPath("initdb"); err == nil {
		dirs = append([]string{filepath.Dir(p)}, dirs...)
	}
	for _, dir := range dirs {
		if runnable(filepath.Join(dir, "initdb")) && runnable(filepath.Join(dir, "postgres")) {
			return dir, nil
		}
	}
	return "", ErrNoBinaries
}

func runnable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&0o111 != 0
}

// Start makes a cluster in dir and runs it without regard for durability, which
// no test of ours needs from it.
func Start(ctx context.Context, dir string) (*Server, error) {
	bin, err := BinDir()
	if err != nil {
		return nil, err
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	who, err := unprivileged(dir)
	if err != nil {
		return nil, err
	}
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", filepath.Join(dir, "data"), "-U", "postgres",
		"-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions", "--locale=C")
	initdb.SysProcAttr, initdb.Dir = who, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	s := &Server{Port: port, bin: bin, dir: dir, who: who}
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
	cmd := exec.Command(filepath.Join(s.bin, "postgres"), args...) //nolint:noctx // it outlives the start
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
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.URL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("postgres did not come up: %w", err)
		case <-s.done:
			return fmt.Errorf("postgres ended while starting: %w", errors.Join(s.end, err))
		case <-tick.C:
		}
	}
}

// unprivileged returns how to start a program that refuses to run as root, and
// gives dir to the user it will run as.
func unprivileged(dir string) (*syscall.SysProcAttr, error) {
	attr := subprocess.EndsWithParent(syscall.SIGQUIT)
	if os.Geteuid() != 0 {
		return attr, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		return attr, os.Chown(dir, int(uid), int(gid))
	}
	return nil, errors.New("postgres does not run as root, and there is no user postgres or nobody to run it as")
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
