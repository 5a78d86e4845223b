// Package pghost finds what a machine has to run a Postgres server with: the server's
// programs, and an unprivileged user, because the server refuses to run as root.
package pghost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// oldest is the first major version the migrations are written for.
const oldest = 13

// ErrNoPrograms means that the machine has no usable Postgres.
var ErrNoPrograms = errors.New("no Postgres server programs on this machine")

// Programs are one installation of the server.
type Programs struct {
	Dir   string // holds initdb and postgres
	Major int    // its major version
}

// Path returns where one of the programs is.
func (p Programs) Path(program string) string { return filepath.Join(p.Dir, program) }

// Complete says whether both programs that a server needs are there.
func (p Programs) Complete() bool { return runnable(p.Path("initdb")) && runnable(p.Path("postgres")) }

// usual are the places where packagers put the server programs, which are
// often not on the PATH because users are not meant to run them.
var usual = []string{
	"/usr/lib/postgresql/*/bin",         // Debian, Ubuntu
	"/usr/pgsql-*/bin",                  // PGDG on Fedora and RHEL
	"/opt/homebrew/opt/postgresql*/bin", // Homebrew on ARM
	"/usr/local/opt/postgresql*/bin",    // Homebrew on Intel
	"/usr/local/pgsql/bin",              // built from source
	"/Applications/Postgres.app/Contents/Versions/*/bin",
}

// Find looks for the machine's own programs, those on the PATH first and then the
// newest. When major is not 0 only that major version will do, because a data directory
// can be read by no other. Fails with ErrNoPrograms.
func Find(ctx context.Context, major int) (Programs, error) {
	var found []Programs
	for _, dir := range candidates(ctx) {
		version, err := majorVersion(ctx, dir)
		if err != nil || version < oldest {
			continue
		}
		found = append(found, Programs{Dir: dir, Major: version})
	}
	if len(found) == 0 {
		return Programs{}, ErrNoPrograms
	}
	if major == 0 {
		// The first is what the PATH says, else the newest.
		return found[0], nil
	}
	for _, b := range found {
		if b.Major == major {
			return b, nil
		}
	}
	return Programs{}, fmt.Errorf("%w of version %d", ErrNoPrograms, major)
}

// candidates lists directories that hold both programs we run: the PATH first,
// then pg_config's answer, then the usual places, newest version first.
func candidates(ctx context.Context) []string {
	var dirs []string
	if program, err := exec.LookPath("initdb"); err == nil {
		// The link on the PATH may stand alone; postgres is beside its target.
		if target, err := filepath.EvalSymlinks(program); err == nil {
			dirs = append(dirs, filepath.Dir(target))
		}
	}
	if out, err := output(ctx, "pg_config", "--bindir"); err == nil {
		dirs = append(dirs, strings.TrimSpace(out))
	}
	for _, pattern := range usual {
		matches, _ := filepath.Glob(pattern) // The patterns are constants and well formed.
		slices.SortFunc(matches, func(a, b string) int { return trailingNumber(b) - trailingNumber(a) })
		dirs = append(dirs, matches...)
	}
	return slices.DeleteFunc(dirs, func(dir string) bool {
		return !Programs{Dir: dir}.Complete()
	})
}

var number = regexp.MustCompile(`\d+`)

// trailingNumber is the version in a path such as /usr/lib/postgresql/15/bin.
func trailingNumber(path string) int {
	all := number.FindAllString(path, -1)
	if len(all) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(all[len(all)-1]) // The expression matches digits only.
	return n
}

// majorVersion asks the server program, which answers "postgres (PostgreSQL)
// 15.14 (Debian 15.14-0+deb12u1)".
func majorVersion(ctx context.Context, dir string) (int, error) {
	out, err := output(ctx, filepath.Join(dir, "postgres"), "--version")
	if err != nil {
		return 0, err
	}
	first := number.FindString(out)
	if first == "" {
		return 0, fmt.Errorf("read the version from %q", out)
	}
	return strconv.Atoi(first)
}

func output(ctx context.Context, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, args...).Output() //nolint:gosec // Postgres's own programs
	return string(out), err
}

func runnable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
