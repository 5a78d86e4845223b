package stack

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	simclient "spotkeeper/internal/ec2sim/client"
)

// Options are the ports and the directory of a stack. A port of 0 is any free
// one.
type Options struct {
	Dir string

	APIPort, UIPort, TemporalPort, PostgresPort, EC2Port, MetricsPort, APIMetricsPort int

	// EC2Delays are how slow the simulated cloud is when its state is new.
	EC2Delays simclient.Delays
	// EC2Seed decides its market.
	EC2Seed int64

	// Environment adds to what configures the product's processes.
	Environment map[string]string

	// Logger receives what the parts log, Background what the Temporal server
	// logs: it logs a lot about itself.
	Logger, Background *slog.Logger
}

// DefaultOptions are the documented ports and the directory .spotkeeper.
func DefaultOptions() Options {
	return Options{
		Dir:          ".spotkeeper",
		APIPort:      5000,
		UIPort:       8233,
		TemporalPort: 7233,
		PostgresPort: 5433,
		EC2Port:      8234,
		MetricsPort:  9091,

		APIMetricsPort: 9092,

		EC2Delays: QuickDelays(),
		EC2Seed:   1,
	}
}

// QuickDelays make a cloud about eight times as fast as the real one, except
// for the two minutes of notice: slow enough to watch, quick enough not to wait.
func QuickDelays() simclient.Delays {
	return simclient.Delays{Pending: 2, Checks: 1, ShuttingDown: 3, Stopping: 3, Visibility: 0.2, Image: 5, Notice: 120}
}

// Prepare makes the state directory, or fails where nothing can be written in it, and
// turns it into an absolute path.
func (o Options) Prepare() (Options, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return o, fmt.Errorf("resolve %s: %w", o.Dir, err)
	}
	// The database's user passes through it; what is private in it is so
	// by its own mode.
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec
		return o, unusableDir(dir, err)
	}
	probe, err := os.CreateTemp(dir, ".writable-*")
	if err != nil {
		return o, unusableDir(dir, err)
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return o, unusableDir(dir, err)
	}
	o.Dir = dir
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Background == nil {
		o.Background = o.Logger
	}
	return o, nil
}

// unusableDir says in one sentence why nothing can be written in the state directory.
func unusableDir(dir string, err error) error {
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		err = failed.Err
	}
	return fmt.Errorf("the state cannot be kept in %s: %w; choose another directory with --dir", dir, err)
}

// File is the path of something in the state directory.
func (o Options) File(name string) string { return filepath.Join(o.Dir, name) }
