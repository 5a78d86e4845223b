package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"spotkeeper/internal/pghost"
)

// superuser owns the cluster and the product's database.
const superuser = "spotkeeper"

// dataMajor is the major version a data directory was made by, 0 when there is
// none.
func dataMajor(data string) (int, error) {
	content, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the version of %s: %w", data, err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return 0, fmt.Errorf("read the version of %s: %w", data, err)
	}
	return major, nil
}

// diskFull finds what initdb prints on a full disk: the second form is that of a page
// which was written in part.
var diskFull = regexp.MustCompile("No space left on device|HINT:  Check free disk space")

// initialize makes the data directory. It is made beside its place and moved
// there when it is complete, so a killed first start leaves nothing that looks
// like a database.
func initialize(ctx context.Context, b pghost.Programs, who owner, data string) error {
	draft := data + ".draft"
	if err := os.RemoveAll(draft); err != nil {
		return fmt.Errorf("clear %s: %w", draft, err)
	}
	command := exec.CommandContext(ctx, b.Path("initdb"),
		"--pgdata="+draft, "--username="+superuser, "--auth=trust", "--encoding=UTF8", "--locale=C",
		"--no-instructions")
	prepareCommand(command, filepath.Dir(data))
	command.SysProcAttr = &syscall.SysProcAttr{Credential: who.as}
	if out, err := command.CombinedOutput(); err != nil {
		_ = os.RemoveAll(draft) // the next start clears it otherwise
		if diskFull.Match(out) {
			return fmt.Errorf("no space left in %s: a new database takes about 60 MB; "+
				"free some, or choose another directory with --dir", filepath.Dir(data))
		}
		return fmt.Errorf("initialize the database: %w: %s", err, strings.TrimSpace(string(out)))
	}
	if err := os.Rename(draft, data); err != nil {
		return fmt.Errorf("move the new database to its place: %w", err)
	}
	return nil
}

// prepareCommand gives the command a directory its user can be in, and an
// environment without PGPORT and its like.
func prepareCommand(command *exec.Cmd, dir string) {
	command.Dir = dir
	command.Env = []string{"LC_ALL=C", "PATH=" + filepath.Dir(command.Path) + ":/usr/bin:/bin"}
}

// endPrevious deals with the server that a killed stack has left: one that
// still runs on the data directory is stopped. It reports whether there was a
// trace of one, since its backends may then need a moment to go.
func endPrevious(ctx context.Context, data string) (bool, error) {
	lockFile := filepath.Join(data, "postmaster.pid")
	content, err := os.ReadFile(lockFile)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", lockFile, err)
	}
	first, _, _ := strings.Cut(string(content), "\n")
	pid := processNumber(first)
	if pid == 0 || !alive(pid) {
		// Postgres itself replaces a stale file, after it has made sure that
		// no backend of the dead server is left.
		return true, nil
	}
	if !isPostmaster(ctx, pid, data) {
		// The number was given to another process since, which Postgres cannot
		// know.
		if err := os.Remove(lockFile); err != nil {
			return true, fmt.Errorf("remove the stale %s: %w", lockFile, err)
		}
		return true, nil
	}
	if err := syscall.Kill(pid, syscall.SIGINT); err != nil && !errors.Is(err, syscall.ESRCH) {
		return true, fmt.Errorf("stop the Postgres server left running by an earlier stack (process %d): %w", pid, err)
	}
	return true, awaitEnd(ctx, pid)
}

// processNumber is 0 for what is none, such as a file torn by a crash.
func processNumber(text string) int {
	pid, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}

func awaitEnd(ctx context.Context, pid int) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for alive(pid) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for the Postgres server of an earlier stack (process %d) to stop: %w", pid,
				ctx.Err())
		}
	}
	return nil
}

// isPostmaster reports whether the process is a Postgres server in that data
// directory, which every server makes its working directory.
func isPostmaster(ctx context.Context, pid int, data string) bool {
	if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err == nil {
		resolved, err := filepath.EvalSymlinks(data)
		return err == nil && cwd == resolved
	}
	name, err := exec.CommandContext(ctx, "ps", "-o", "comm=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(name), "postgres")
}

// alive reports whether a process of that number exists, ours or another's.
func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
