package pgserver

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"spotkeeper/internal/testkit/subprocess"
)

// Bouncer is a running PgBouncer in transaction mode.
type Bouncer struct {
	Port int
	dir  string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// Pool runs the machine's PgBouncer, with its files in dir, before the server.
func Pool(ctx context.Context, dir string, to *Server) (*Bouncer, error) {
	path, err := exec.LookPath("pgbouncer")
	if err != nil {
		path = "/usr/sbin/pgbouncer" // Debian's place, which is on no user's PATH
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	who, err := unprivileged(dir)
	if err != nil {
		return nil, err
	}
	b := &Bouncer{Port: port, dir: dir, done: make(chan struct{})}
	if err := b.configure(to); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(dir, "pgbouncer.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	attr := subprocess.EndsWithParent(syscall.SIGTERM)
	attr.Credential = who.Credential
	b.cmd = exec.Command(path, b.file()) //nolint:noctx // it outlives the start
	b.cmd.SysProcAttr, b.cmd.Dir, b.cmd.Stdout, b.cmd.Stderr = attr, dir, log, log
	if err := b.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w: install pgbouncer", err)
	}
	go func() {
		_ = b.cmd.Wait()
		close(b.done)
	}()
	if err := b.await(ctx); err != nil {
		b.Stop()
		return nil, err
	}
	return b, nil
}

// Lead leads new transactions to another server, as an operator or Patroni does: by the
// file and a signal. Clients stay connected.
func (b *Bouncer) Lead(to *Server) error {
	if err := b.configure(to); err != nil {
		return err
	}
	return b.cmd.Process.Signal(syscall.SIGHUP)
}

// URL is the address of a database by way of the pooler.
func (b *Bouncer) URL(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", b.Port, database)
}

// Stop ends the pooler at once.
func (b *Bouncer) Stop() {
	_ = b.cmd.Process.Signal(syscall.SIGTERM)
	<-b.done
}

func (b *Bouncer) file() string { return filepath.Join(b.dir, "pgbouncer.ini") }

// configure writes the settings that docs/postgres.md asks for.
func (b *Bouncer) configure(to *Server) error {
	settings := "[databases]\n* = host=127.0.0.1 user=postgres port=" + strconv.Itoa(to.Port) +
		"\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = " + strconv.Itoa(b.Port) + `
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 80
max_client_conn = 1000
server_login_retry = 1
server_connect_timeout = 2
query_wait_timeout = 10
`
	return os.WriteFile(b.file(), []byte(settings), 0o644) //nolint:gosec // the pooler's user reads it
}

func (b *Bouncer) await(ctx context.Context) error {
	return awaitConnection(ctx, "pgbouncer", b.URL("postgres"), b.done, func() error {
		said, _ := os.ReadFile(filepath.Join(b.dir, "pgbouncer.log"))
		return fmt.Errorf("its log: %s", said)
	})
}
