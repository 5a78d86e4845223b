// Package hooks runs the operator's programs. They are in <dir>/<event>/NN-name, run in
// the order of their numbers, and those with the same number run side by side.
//
// A hook is contained: it runs in a process group of its own, which is killed when the
// hook has ended or its time is over; its output is read without limit and only the last
// part is kept; a child that keeps the output open delays nothing.
package hooks

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Event is an occasion that hooks are run at.
type Event string

// The events.
const (
	Rebalance Event = "rebalance" // AWS recommends to leave the instance
	Noticed   Event = "notice"    // AWS takes the instance in about two minutes
	Drain     Event = "drain"     // the workload is to stop taking work
	Release   Event = "release"   // volumes are about to be detached
	Acquire   Event = "acquire"   // volumes have been attached
	Promoted  Event = "promoted"  // this instance has become the primary
	Ready     Event = "ready"     // the workload answers
	Retire    Event = "retire"    // this instance is about to be ended
)

// Events are all of them.
var Events = []Event{Rebalance, Noticed, Drain, Release, Acquire, Promoted, Ready, Retire}

// NotNow is the exit code by which a drain hook puts off a voluntary move (EX_TEMPFAIL).
const NotNow = 75

var fileName = regexp.MustCompile(`^([0-9]{2})-[A-Za-z0-9_.-]+$`)

// Program is one hook.
type Program struct {
	Name   string // event/NN-name
	Number string
	Path   string
}

// Find lists the hooks of an event in groups: one group after the other, the programs of
// a group side by side. A directory that is not there has none. Files that are no hooks,
// or that other users can change, are reported and left out.
func Find(dir string, event Event) (groups [][]Program, err error) {
	entries, err := os.ReadDir(filepath.Join(dir, string(event)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var wrong []error
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, entry := range entries {
		found := fileName.FindStringSubmatch(entry.Name())
		if found == nil {
			continue // an editor's copy, a README
		}
		p := Program{
			Name:   string(event) + "/" + entry.Name(),
			Number: found[1],
			Path:   filepath.Join(dir, string(event), entry.Name()),
		}
		if err := check(p.Path); err != nil {
			wrong = append(wrong, fmt.Errorf("hook %s: %w", p.Name, err))
			continue
		}
		if last := len(groups) - 1; last >= 0 && groups[last][0].Number == p.Number {
			groups[last] = append(groups[last], p)
		} else {
			groups = append(groups, []Program{p})
		}
	}
	return groups, errors.Join(wrong...)
}

// check follows links: packs are installed once and linked where they are wanted.
func check(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("it is no file")
	case info.Mode().Perm()&0o111 == 0:
		return errors.New("it is not executable: chmod +x")
	case info.Mode().Perm()&0o022 != 0:
		return errors.New("other users can change it: chmod go-w")
	}
	return nil
}
