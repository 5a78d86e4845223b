// Package spool keeps notices on disk until they are dealt with, so that an agent that is
// killed and started again goes on where it was.
package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind of a notice, in the control plane's words.
type Kind string

// The kinds of notices.
const (
	Termination Kind = "termination-notice"
	Rebalance   Kind = "rebalance-recommendation"
	Drain       Kind = "drain" // asked for at the socket; it is not reported
)

// Notice is one notice with what was done about it.
type Notice struct {
	ID         string    `json:"id"`
	Kind       Kind      `json:"kind"`
	InstanceID string    `json:"instance_id"`
	Action     string    `json:"action,omitempty"` // what AWS does: terminate, stop or hibernate
	Deadline   time.Time `json:"deadline,omitzero"`
	DetectedAt time.Time `json:"detected_at"`
	End        time.Time `json:"end"`                 // the deadline by the instance's own clock, which may be wrong
	Asked      bool      `json:"asked,omitempty"`     // asked for at the socket, not given by AWS
	Rehearsal  bool      `json:"rehearsal,omitempty"` // a simulation: hooks run, nothing is reported
	Answer     *Answer   `json:"answer,omitempty"`
	Hooks      []Hook    `json:"hooks,omitempty"`
	Done       bool      `json:"done,omitempty"`
}

// Answer is the control plane's acknowledgement.
type Answer struct {
	At            time.Time `json:"at"`
	Action        string    `json:"action,omitempty"`
	NewInstanceID string    `json:"new_instance_id,omitempty"`
	OperationID   string    `json:"operation_id,omitempty"`
	Final         bool      `json:"final,omitempty"`   // there is a successor, or none is needed
	Refused       string    `json:"refused,omitempty"` // an answer that repeating does not change
}

// Hook is one run of an operator's program.
type Hook struct {
	Name     string    `json:"name"` // event/NN-name
	Attempts int       `json:"attempts"`
	Started  time.Time `json:"started"`
	Ended    time.Time `json:"ended,omitzero"`
	Exit     int       `json:"exit"`
	Output   string    `json:"output,omitempty"` // the last 4 KB
	Reported bool      `json:"reported,omitempty"`
}

// Hook finds the run of a program.
func (n *Notice) Hook(name string) (*Hook, bool) {
	for i := range n.Hooks {
		if n.Hooks[i].Name == name {
			return &n.Hooks[i], true
		}
	}
	return nil, false
}

// NoticeID is the same for the same notice however often it is read. A later notice for
// the instance, such as after it was stopped and started, has another one.
func NoticeID(kind Kind, instanceID string, at time.Time) string {
	return string(kind) + "-" + instanceID + "-" + strconv.FormatInt(at.Unix(), 10)
}

// OrderID is the id of what is asked for at the socket. Each order has an id of its own, and
// none has the id of a notice that AWS may give.
func OrderID(kind Kind, instanceID string, at time.Time) string {
	return string(kind) + "-" + instanceID + "-asked-" + strconv.FormatInt(at.UnixNano(), 10)
}

// Spool is a directory of notices.
type Spool struct{ dir string }

// Open makes the directory when it is not there. With an error the spool can be used all
// the same: each Save tries again.
func Open(stateDir string) (*Spool, error) {
	s := &Spool{filepath.Join(stateDir, "notices")}
	return s, os.MkdirAll(s.dir, 0o700)
}

// Save writes a notice durably: the file is complete or the one before it.
func (s *Spool) Save(n *Notice) error {
	content, err := json.Marshal(n)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	return Replace(filepath.Join(s.dir, n.ID+".json"), content)
}

// Remove forgets a notice.
func (s *Spool) Remove(id string) error {
	err := os.Remove(filepath.Join(s.dir, id+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Load reads all notices, oldest first. A file that cannot be read is renamed and
// reported; the others are loaded all the same.
func (s *Spool) Load() ([]*Notice, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var out []*Notice
	var wrong []error
	for _, entry := range entries {
		path := filepath.Join(s.dir, entry.Name())
		if strings.HasPrefix(entry.Name(), ".") { // a write that was not finished
			_ = os.Remove(path)
			continue
		}
		if !strings.HasSuffix(entry.Name(), ".json") {
			continue
		}
		n, err := read(path)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", path, err), os.Rename(path, path+".unreadable"))
			continue
		}
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b *Notice) int { return a.DetectedAt.Compare(b.DetectedAt) })
	return out, errors.Join(wrong...)
}

func read(path string) (*Notice, error) {
	content, err := os.ReadFile(path) //nolint:gosec // a file of the spool
	if err != nil {
		return nil, err
	}
	n := &Notice{}
	if err := json.Unmarshal(content, n); err != nil {
		return nil, err
	}
	if n.ID == "" || n.InstanceID == "" {
		return nil, errors.New("the notice names no instance")
	}
	return n, nil
}

// Replace writes a file durably in one step.
func Replace(path string, content []byte) (err error) {
	dir := filepath.Dir(path)
	file, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return err
	}
	handle, err := os.Open(dir) //nolint:gosec // the directory of the file
	if err != nil {
		return err
	}
	defer func() { _ = handle.Close() }()
	return handle.Sync()
}
