package box

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
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

// saveState fails when the disk does. The agent goes on without it.
func (a *Agent) saveState() {
	a.mu.Lock()
	content, err := json.Marshal(a.state)
	a.mu.Unlock()
	if err == nil {
		err = spool.Replace(stateFile(a.s.StateDir), content)
	}
	if err != nil {
		a.log.Warn("the state is not on disk", "error", err)
	}
}
