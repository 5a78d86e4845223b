// Package sandbox starts programs that run code which is not trusted. Such a program
// sees some directories, read-only, and nothing else of this machine: no other process,
// no network, no file of ours, no socket. What the kernel does not give is an error, and
// never a weaker sandbox.
//
// The process executes itself: it starts its own binary in new namespaces, which builds
// the sandbox from within and then becomes the program. A binary that imports this
// package can therefore be started as a builder of sandboxes, by its first argument.
package sandbox

import "spotkeeper/internal/domain/fault"

// Refused means that this machine cannot hold a program as it must be held.
var Refused = fault.Define("sandbox.refused", fault.Unavailable)

// Libraries are where programs of this machine have theirs. Names of libraries may lead
// through /etc/alternatives.
var Libraries = []string{"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/etc/alternatives"}

// Program is the program to start, with its arguments and limits.
type Program struct {
	Path    string   // of the executable, absolute; empty: this binary itself, which the program does not see
	Name    string   // the first argument; empty: the path
	Args    []string // after its name
	Env     []string // all of its environment
	Visible []string // absolute paths that it sees, at the same place, with what lies below; missing ones are left out
	User    uint32   // to run as when we are root; otherwise it runs as we do, in a user namespace
}
