package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"
)

// AgentStore is what the agent-health job does in Postgres.
type AgentStore interface {
	// MarkSilent marks agents offline that are online and silent for longer than
	// the timeout, at most limit of them, and tells their clients.
	MarkSilent(ctx context.Context, timeout time.Duration, limit int) (int, error)
}

// Agents are the steps about agents' signs of life.
type Agents struct {
	Store   AgentStore
	Timeout time.Duration // silence after which an agent counts as offline
}

// SilenceInput bounds a run. Fields are only ever added.
type SilenceInput struct {
	Timeout time.Duration `json:"timeout,omitempty"` // zero: as configured
	Chunk   int           `json:"chunk,omitempty"`   // agents per statement; zero: 1,000
}

// SilenceResult counts a run.
type SilenceResult struct {
	Offline int `json:"offline"`
}

// Counts names the counts for the run's row.
func (r *SilenceResult) Counts() map[string]int64 {
	return map[string]int64{"offline": int64(r.Offline)}
}

// MarkSilentAgents marks the agents offline that have been silent for too long,
// set by set. An agent is marked and told of once per silence: a run that is
// repeated finds it offline already.
func (a *Agents) MarkSilentAgents(ctx context.Context, in SilenceInput) (*SilenceResult, error) {
	timeout, chunk := in.Timeout, in.Chunk
	if timeout <= 0 {
		timeout = a.Timeout
	}
	if timeout <= 0 {
		timeout = 2 * time.Minute
	}
	if chunk <= 0 {
		chunk = 1000
	}
	out := &SilenceResult{}
	for {
		n, err := a.Store.MarkSilent(ctx, timeout, chunk)
		if err != nil {
			return nil, err
		}
		out.Offline += n
		if n < chunk {
			return out, nil
		}
		if activity.IsActivity(ctx) {
			activity.RecordHeartbeat(ctx, out.Offline)
		}
	}
}
