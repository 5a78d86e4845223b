package postgres

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

// errNoBinaries means that the machine has no usable Postgres: it is then
// downloaded.
var errNoBinaries = errors.New("no Postgres binaries on this machine")

// binaries is one installation of the server programs.
type binaries struct {
	dir   string
	major int
}

func (b binaries) path(program string) string { return filepath.Join(b.dir, program) }

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

// installed looks for the machine's own binaries. When major is not 0 only
// that major version will do, because a data directory can be read by no other.
func installed(ctx context.Context, major int) (binaries, error) {
	var found []binaries
	for _, dir := range candidates(ctx) {
		version, err := majorVersion(ctx, dir)
		if err != nil || version < oldest {
			continue
		}
		found = append(found, binaries{dir: dir, major: version})
	}
	if len(found) == 0 {
		return binaries{}, errNoBinaries
	}
	if major == 0 {
		// The first is what the PATH says, else the newest.
		return found[0], nil
	}
	for _, b := range found {
		if b.major == major {
			return b, nil
		}
	}
	return binaries{}, fmt.Errorf("%w of version %d", errNoBinaries, major)
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
		return !runnable(filepath.Join(dir, "initdb")) || !runnable(filepath.Join(dir, "postgres"))
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
	out, err := exec.CommandContext(ctx, program, args...).Output()
	return string(out), err
}

func runnable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
