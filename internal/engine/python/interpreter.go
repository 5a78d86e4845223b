package python

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"spotkeeper/internal/engine"
	"spotkeeper/internal/engine/host"
	"spotkeeper/internal/engine/sandbox"
)

// interpreter is one that can be run, and what it reads.
type interpreter struct {
	Path    string   `json:"path"` // of its executable, not of a script that finds it
	Prefix  string   `json:"prefix"`
	Base    string   `json:"base"` // the prefix of the one that an environment was made from
	Modules []string `json:"modules"`
}

// describe is asked of an interpreter without anything that was uploaded.
const describe = `import json, os, sys
print(json.dumps({"path": os.path.abspath(sys.executable), "prefix": sys.prefix, "base": sys.base_prefix,
	"modules": [p for p in sys.path if os.path.isabs(p)]}))`

// examine asks an interpreter where it lies.
func examine(ctx context.Context, path string) (found interpreter, err error) {
	ctx, cancel := context.WithTimeout(ctx, host.Greeting)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "-I", "-B", "-c", describe)
	cmd.Env, cmd.WaitDelay = environment, time.Second
	out, err := cmd.Output()
	if err != nil {
		return found, fmt.Errorf("%s: %w", path, err)
	}
	if err := json.Unmarshal(out, &found); err != nil {
		return found, fmt.Errorf("%s does not answer as Python does: %w", path, err)
	}
	return found, nil
}

// visible is what the interpreter needs: its own files and the machine's libraries.
func (i interpreter) visible() []string {
	paths := slices.Clone(sandbox.Libraries)
	for _, prefix := range []string{i.Prefix, i.Base} {
		if prefix != "/usr" && prefix != "/usr/local" && prefix != "/" && prefix != "" {
			paths = append(paths, prefix)
		}
	}
	for _, path := range i.Modules {
		if !slices.ContainsFunc(paths, func(dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }) {
			paths = append(paths, filepath.Clean(path))
		}
	}
	return paths
}

// kind is what a host of Python runs.
func kind(interpreter string) host.Kind {
	return host.Kind{Name: engine.RunnerPython, What: "Python engine", Off: Off, Bad: BadEngine,
		Ways: func(ctx context.Context, o host.Options) ([]host.Way, error) { return ways(ctx, interpreter, o) }}
}

// ways lists how the interpreters of a name may be held. Fails with python.off.
func ways(ctx context.Context, name string, o host.Options) (found []host.Way, err error) {
	args := []string{"-I", "-B", "-c", harness, strconv.FormatInt(o.Memory, 10), strconv.Itoa(int(o.CPU.Seconds()))}
	for _, path := range interpreters(name) {
		i, problem := examine(ctx, path)
		if problem != nil {
			err = problem
			continue
		}
		found = append(found, host.Way{
			Words: sandbox.Words() + ", memory and CPU limits",
			Command: func() (*exec.Cmd, error) {
				return sandbox.Command(sandbox.Program{Path: i.Path, Args: args, Env: environment, Visible: i.visible(), User: o.User})
			},
			Start: sandbox.Start,
		})
		if o.Unsafe {
			cmd := exec.Command(i.Path, args...) //nolint:noctx // the child outlives the call that starts it; kill ends it
			cmd.Env = environment
			found = append(found, host.Unsafe(o, cmd))
		}
	}
	if len(found) == 0 {
		return nil, Off.Wrap(err, "python off: the interpreter %q cannot be run", name)
	}
	return found, nil
}

// interpreters lists what may be meant by a name: the one in the path, and the
// system's own, because the one in the path may lie where an unprivileged user
// cannot read.
func interpreters(name string) []string {
	var found []string
	if path, err := exec.LookPath(name); err == nil {
		found = append(found, path)
	}
	if !strings.ContainsRune(name, filepath.Separator) {
		found = append(found, filepath.Join("/usr/bin", name), filepath.Join("/usr/local/bin", name))
	}
	if len(found) == 0 {
		found = []string{name}
	}
	return found
}

// environment is all of a child's.
var environment = []string{"PATH=/usr/bin:/bin", "HOME=/nonexistent", "LANG=C.UTF-8", "OMP_NUM_THREADS=1",
	"OPENBLAS_NUM_THREADS=1", "MKL_NUM_THREADS=1", "JOBLIB_MULTIPROCESSING=0"}
