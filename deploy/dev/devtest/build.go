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
	"testing"
)

// programs are the compiled commands a stack consists of.
type programs struct{ dev, api, worker string }

// build compiles the programs, once per test process. They go to one place
// below the repository's bin directory, where an up-to-date program is not even
// linked again.
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
