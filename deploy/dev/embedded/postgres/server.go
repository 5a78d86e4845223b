package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"spotkeeper/deploy/dev/embedded/child"
	"spotkeeper/deploy/dev/embedded/dirlock"
	"spotkeeper/deploy/dev/embedded/loopback"
	"spotkeeper/internal/pghost"
)

// Options say where the server keeps its state and where it listens.
type Options struct {
	// Dir is the server's own directory. It is made when it is not there, and
	// given to an unprivileged user when the caller is root.
	Dir string
	// Port is where the server listens; 0 picks a free port.
	Port int
	// Repository is the Maven repository for downloaded binaries; the default
	// is Maven Central.
	Repository string
	// Logger gets a line when binaries are downloaded.
	Logger *slog.Logger
}

// Server is a running Postgres.
type Server struct {
	// URL connects to the product's database as its owner.
	URL string
	// Port is where the server listens on loopback.
	Port int

	lock    *dirlock.Lock
	process *child.Process
	logFile string
	failed  chan error
}

// Start runs the server and returns when its database accepts connections. The
// caller must Stop it.
//
// A port in use is a *loopback.TakenError naming --postgres-port; a directory
// another process runs on is a *dirlock.HeldError.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", o.Dir, err)
	}
	who, err := newOwner(os.Geteuid())
	if err != nil {
		return nil, err
	}
	home, err := who.home(dir)
	if err != nil {
		return nil, err
	}
	lock, err := dirlock.Acquire(dir + ".lock")
	if err != nil {
		return nil, err
	}
	s := &Server{
		lock:    lock,
		logFile: filepath.Join(filepath.Dir(dir), "postgres-server.log"),
		failed:  make(chan error, 1),
	}
	if err := s.start(ctx, o, who, home); err != nil {
		lock.Release()
		return nil, err
	}
	return s, nil
}

func (s *Server) start(ctx context.Context, o Options, who owner, home string) error {
	data := filepath.Join(home, "data")
	stale, err := endPrevious(ctx, data)
	if err != nil {
		return err
	}
	if s.Port, err = loopback.Claim(o.Port, "postgres-port"); err != nil {
		return err
	}
	b, err := locate(ctx, o, who, home, data)
	if err != nil {
		return err
	}
	if _, err := os.Stat(data); errors.Is(err, fs.ErrNotExist) {
		if err := initialize(ctx, b, who, data); err != nil {
			return err
		}
	}
	if err := s.launch(ctx, b, who, data, stale); err != nil {
		return err
	}
	s.URL = connectionURL(s.Port, database)
	if err := createDatabase(ctx, s.Port); err != nil {
		return also(err, s.end(context.WithoutCancel(ctx)))
	}
	go s.watch()
	return nil
}

// locate prefers the machine's binaries of the version the data was made by.
func locate(ctx context.Context, o Options, who owner, home, data string) (pghost.Programs, error) {
	major, err := dataMajor(data)
	if err != nil {
		return pghost.Programs{}, err
	}
	b, err := pghost.Find(ctx, major)
	if !errors.Is(err, pghost.ErrNoPrograms) {
		return b, err
	}
	if major != 0 && major != downloadMajor {
		return pghost.Programs{}, fmt.Errorf("%w: the data in %s was made by it, so install it or remove the directory", err,
			data)
	}
	o.Logger.WarnContext(ctx, "no Postgres on this machine: downloading its binaries",
		"version", string(downloadVersion))
	dir := filepath.Join(home, "binaries")
	if b, err = download(ctx, dir, o.Repository); err != nil {
		return pghost.Programs{}, err
	}
	return b, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return who.claim(path)
	})
}

// launch starts the server and waits until it answers. After a kill -9 the
// dead server's backends may hold its shared memory for some moments, and the
// new one refuses to start: it is then tried again.
func (s *Server) launch(ctx context.Context, b pghost.Programs, who owner, data string, stale bool) error {
	attempts := 1
	if stale {
		attempts = 20
	}
	pause := time.NewTicker(250 * time.Millisecond)
	defer pause.Stop()
	for {
		err := s.launchOnce(ctx, b, who, data)
		attempts--
		if err == nil || attempts == 0 {
			return err
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return err
		}
	}
}

func (s *Server) launchOnce(ctx context.Context, b pghost.Programs, who owner, data string) error {
	log, err := os.OpenFile(s.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the database's log: %w", err)
	}
	defer func() { _ = log.Close() }() // The child has its own descriptor.
	// The server outlives the context of its start: Stop ends it.
	command := exec.Command(b.Path("postgres"), arguments(data, s.Port)...) //nolint:noctx
	prepareCommand(command, filepath.Dir(data))
	command.Stdout, command.Stderr = log, log
	if s.process, err = child.Start(command, who.as); err != nil {
		return err
	}
	if err := s.awaitAnswer(ctx); err != nil {
		return also(err, s.end(context.WithoutCancel(ctx)))
	}
	return nil
}

func arguments(data string, port int) []string {
	args := []string{"-D", data, "-p", strconv.Itoa(port), "-h", loopback.Host}
	for _, setting := range []string{
		"unix_socket_directories=", // loopback is the only door
		"max_connections=200",
		"timezone=UTC",
		"log_timezone=UTC",
		"log_min_messages=warning",
		"log_line_prefix=%m [%p] %q%d ",
		"jit=off", // short statements only: compiling them costs more than it saves
	} {
		args = append(args, "-c", setting)
	}
	return args
}

// Failed delivers the reason when the server ends without having been asked to.
func (s *Server) Failed() <-chan error { return s.failed }

// watch ends with the process. After Stop its result is not read.
func (s *Server) watch() {
	<-s.process.Ended()
	s.failed <- s.outcome()
}

// outcome is why the server ended, with the end of what it logged.
func (s *Server) outcome() error {
	return fmt.Errorf("the Postgres server ended by itself: %s; the end of %s:\n%s", s.process.Reason(), s.logFile,
		child.Tail(s.logFile, 5))
}

// Stop shuts the server down: its connections are closed and a checkpoint is
// written. When the context is done first, it is stopped at once and recovers
// at the next start.
func (s *Server) Stop(ctx context.Context) error {
	defer s.lock.Release()
	return s.end(ctx)
}

func (s *Server) end(ctx context.Context) error {
	if err := s.process.Signal(syscall.SIGINT); err != nil {
		return err
	}
	select {
	case <-s.process.Ended():
		return nil
	case <-ctx.Done():
	}
	if err := s.process.Signal(syscall.SIGQUIT); err != nil {
		return err
	}
	<-s.process.Ended()
	return fmt.Errorf("stop the database: %w: it was ended at once and will recover", ctx.Err())
}

func connectionURL(port int, name string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.User(superuser),
		Host:     loopback.Addr(port),
		Path:     "/" + name,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// also keeps both of two errors, the first as the reason.
func also(first, then error) error {
	if then == nil {
		return first
	}
	return fmt.Errorf("%w (and then: %w)", first, then)
}
