package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"spotkeeper/internal/pghost"
)

// owner is the user the server runs as. Postgres refuses to run as root, so root runs
// it as an existing unprivileged user; every other user runs it under its own name.
type owner struct {
	// as is nil when the server runs as the calling user.
	as *syscall.Credential
}

func newOwner(euid int) (owner, error) {
	as, err := pghost.ServerUser(euid)
	return owner{as: as}, err
}

// claim gives the file or directory to the owner.
func (o owner) claim(path string) error {
	if o.as == nil {
		return nil
	}
	if err := os.Lchown(path, int(o.as.Uid), int(o.as.Gid)); err != nil {
		return fmt.Errorf("give %s to the database's user: %w", path, err)
	}
	return nil
}

// reaches reports whether the owner may enter dir: every directory on the way
// must let it through.
func (o owner) reaches(dir string) (bool, error) {
	if o.as == nil {
		return true, nil
	}
	for {
		info, err := os.Stat(dir)
		if err != nil {
			return false, fmt.Errorf("look at %s: %w", dir, err)
		}
		if !o.enters(info) {
			return false, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return true, nil
		}
		dir = parent
	}
}

func (o owner) enters(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case ok && stat.Uid == o.as.Uid:
		return info.Mode()&0o100 != 0
	case ok && stat.Gid == o.as.Gid:
		return info.Mode()&0o010 != 0
	default:
		return info.Mode()&0o001 != 0
	}
}

// home returns a directory the owner reaches and whose content survives as
// long as dir: dir itself, or, when dir is somewhere private such as root's
// home, a directory under /var/tmp to which dir becomes a link.
func (o owner) home(dir string) (string, error) {
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil { //nolint:gosec // the database's user must pass
		return "", fmt.Errorf("make %s: %w", parent, err)
	}
	if target, err := os.Readlink(dir); err == nil {
		return target, o.make(target)
	}
	reachable, err := o.reaches(parent)
	if err != nil {
		return "", err
	}
	if reachable {
		return dir, o.make(dir)
	}
	elsewhere, err := os.MkdirTemp("/var/tmp", "spotkeeper-postgres-")
	if err != nil {
		return "", fmt.Errorf("make a directory the database's user can reach: %w", err)
	}
	if err := os.Symlink(elsewhere, dir); err != nil {
		return "", fmt.Errorf("link %s to %s: %w", dir, elsewhere, err)
	}
	return elsewhere, o.claim(elsewhere)
}

func (o owner) make(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	return o.claim(dir)
}
