package box

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"spotkeeper/internal/box/controlplane"
	"spotkeeper/internal/box/imds"
	"spotkeeper/internal/box/spool"
)

// state is what the agent keeps over restarts: with it, a notice can be reported
// before the control plane has answered a registration.
type state struct {
	API          string        `json:"api"`
	LogicalID    string        `json:"logical_id"`
	Identity     imds.Identity `json:"identity"`
	AgentID      string        `json:"agent_id,omitempty"`
	ClientID     string        `json:"client_id,omitempty"`
	RegisteredAt time.Time     `json:"registered_at,omitzero"`

	Token   controlplane.Token `json:"token,omitzero"`    // the agent's own, where it has joined
	Attempt string             `json:"attempt,omitempty"` // to join by the identity document
}

// lockState keeps a second agent out of a state directory until unlock is called. Where
// nothing can be written there is no lock: the agent works without a disk.
func lockState(dir string) (unlock func(), err error) {
	//nolint:gosec // the directory of the configuration
	file, err := os.OpenFile(filepath.Join(dir, "agent.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return func() {}, nil //nolint:nilerr // New has reported it
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) //nolint:gosec // a descriptor
	if errors.Is(err, syscall.EWOULDBLOCK) {
		_ = file.Close()
		return nil, fmt.Errorf("another agent uses %s: stop it (systemctl stop spotkeeper-agent), "+
			"or give this one a state_dir and a socket of its own", dir)
	}
	return func() { _ = file.Close() }, nil
}

func stateFile(dir string) string { return filepath.Join(dir, "agent.json") }

// loadState returns an empty state when there is none that can be read: the agent then
// registers as for the first time.
func loadState(dir string, log *slog.Logger) state {
	content, err := os.ReadFile(stateFile(dir))
	var out state
	if err == nil {
		err = json.Unmarshal(content, &out)
	}
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			log.Warn("the state of the last run cannot be read", "error", err)
		}
		return state{}
	}
	return out
}

// saveState fails when the disk does. The agent continues without it.
func (a *Agent) saveState() {
	a.mu.Lock()
	content, err := json.Marshal(a.state)
	a.mu.Unlock()
	if err == nil {
		err = spool.Replace(stateFile(a.s.StateDir), content)
	}
	a.wrote(err)
	if err != nil {
		a.log.Warn("the state is not on disk", "error", err)
	}
}

// wrote keeps how the last write to the state directory went, for the status.
func (a *Agent) wrote(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.diskErr = ""; err != nil {
		a.diskErr = err.Error()
	}
}
