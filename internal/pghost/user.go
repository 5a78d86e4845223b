package pghost

import (
	"fmt"
	"os/user"
	"strconv"
	"syscall"
)

// unprivileged are the users a root process looks for, in this order.
var unprivileged = []string{"postgres", "nobody"}

// ServerUser returns whom the server runs as: an existing unprivileged user when the
// caller is root, and nil, which is the caller, otherwise.
func ServerUser(euid int) (*syscall.Credential, error) {
	if euid != 0 {
		return nil, nil
	}
	for _, name := range unprivileged {
		known, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(known.Uid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("read the id of user %s: %w", name, err)
		}
		gid, err := strconv.ParseUint(known.Gid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("read the group of user %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf(
		"the Postgres server refuses to run as root, and none of the users %q exists to run it as", unprivileged)
}
