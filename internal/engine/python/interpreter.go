package python

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

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
	ctx, cancel := context.WithTimeout(ctx, greeting)
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

// libraries are where programs of this machine have theirs. Names of libraries may lead
// through /etc/alternatives.
var libraries = []string{"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/etc/alternatives"}

// visible is what the interpreter needs: its own files and the machine's libraries.
func (i interpreter) visible() []string {
	paths := slices.Clone(libraries)
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

// way is one way to hold a child.
type way struct {
	words   string
	command func(args, env []string) (*exec.Cmd, error)
	start   func(*exec.Cmd) error
}

// ways lists how an interpreter may be held, the strictest first.
func ways(o Options, i interpreter) []way {
	strict := way{sandbox.Words() + ", memory and CPU limits", func(args, env []string) (*exec.Cmd, error) {
		return sandbox.Command(sandbox.Program{Path: i.Path, Args: args, Env: env, Visible: i.visible(), User: o.User})
	}, sandbox.Start}
	if !o.Unsafe {
		return []way{strict}
	}
	return []way{strict, {
		unsafeWords,
		func(args, env []string) (*exec.Cmd, error) {
			//nolint:noctx // the child outlives the call that starts it; kill ends it
			cmd := exec.Command(i.Path, args...)
			cmd.Dir, cmd.Env, cmd.SysProcAttr = "/", env, unsafeAttributes(o)
			return cmd, nil
		},
		func(cmd *exec.Cmd) error { return cmd.Start() },
	}}
}

// unsafeWords say how a child is held where the operator accepts it.
const unsafeWords = "unsafe: memory and CPU limits only; our files and the network are reachable"
