package devtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// programs are the compiled commands a stack consists of.
type programs struct{ dev, api, worker string }

// build compiles the programs, once per test process. They go to one place
// below the repository's bin directory, where an up-to-date program is not even
// linked again. They are compiled without the race detector, which the Temporal
// server does not need.
var build = sync.OnceValues(func() (programs, error) {
	root, err := Root()
	if err != nil {
		return programs{}, err
	}
	bin := filepath.Join(root, "bin", "test")
	p := programs{
		dev:    filepath.Join(bin, "spotkeeper-dev"),
		api:    filepath.Join(bin, "spotkeeper-api"),
		worker: filepath.Join(bin, "spotkeeper-worker"),
	}
	unlock, err := lockDir(bin)
	if err != nil {
		return programs{}, err
	}
	defer unlock()
	for _, one := range []struct{ dir, source, target string }{
		{filepath.Join(root, "deploy", "dev"), ".", p.dev},
		{root, "./api", p.api},
		{root, "./worker", p.worker},
	} {
		command := exec.CommandContext(context.Background(), "go", "build", "-o", one.target, one.source)
		command.Dir = one.dir
		if out, err := command.CombinedOutput(); err != nil {
			return programs{}, fmt.Errorf("build %s: %w: %s", one.target, err, out)
		}
	}
	return p, nil
})

// lockDir waits until no other process compiles into the directory: two that write one
// program at once would leave a torn one.
func lockDir(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("make the directory of the programs: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the programs: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("lock %s: %w", file.Name(), err)
	}
	return func() { _ = file.Close() }, nil // The kernel frees the lock with the descriptor.
}

// Root is the directory of the product's module.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		content, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(content), "module spotkeeper\n") {
			return dir, nil
		}
	}
	return "", errors.New("find the repository: no directory above has the module spotkeeper")
}

// Build compiles everything a stack needs. Start does it as well; a TestMain
// that calls it keeps the minutes of a first build out of a test's deadline.
func Build(tb testing.TB) {
	tb.Helper()
	if _, err := build(); err != nil {
		tb.Fatal(err)
	}
}

// Program is the path of the compiled development stack.
func Program(tb testing.TB) string {
	tb.Helper()
	compiled, err := build()
	if err != nil {
		tb.Fatal(err)
	}
	return compiled.dev
}
