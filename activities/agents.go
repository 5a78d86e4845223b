package activities

import (
	"context"
	"log/slog"
	"time"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
)

// AgentStore is the part of the stores that the job agent-health uses.
type AgentStore interface {
	// MarkSilent marks online agents as offline when they have been silent for longer than
	// the timeout, at most limit of them, and notifies their clients.
	MarkSilent(ctx context.Context, timeout time.Duration, limit int) (int, error)
	// NotifySilentSuccessors notifies clients of each new primary that has sent no heartbeat
	// although it has been the primary for longer than after. It does so once per primary.
	NotifySilentSuccessors(ctx context.Context, after time.Duration) (int, error)
	// RetireDeparted marks instances retired whose end was reported or that fell
	// silent, and that EC2 cannot be asked about, at most limit of them.
	RetireDeparted(ctx context.Context, limit int) (int, error)
	// Departed lists such instances that EC2 can be asked about.
	Departed(ctx context.Context, limit int) ([]Departed, error)
	// RetireOne marks one of those retired, unless it sent a heartbeat meanwhile.
	RetireOne(ctx context.Context, instanceID string) error
}

// Departed is an instance that its agent left and that seems to have ended.
type Departed struct {
	InstanceID string
	AgentID    string
	Region     string
	LaunchedAt time.Time
	Account    Account
}

// Agents are the steps about agents' signs of life.
type Agents struct {
	Store   AgentStore
	Fleet   Fleet // nil: EC2 is not asked
	Log     *slog.Logger
	Timeout time.Duration // silence after which an agent counts as offline
}

// Bounds of asking EC2 in one run.
const (
	departedPerRun         = 100
	askWithin              = 10 * time.Second
	successorReportsWithin = 2 * time.Minute // an agent registers at boot
)

// SilenceInput bounds a run. Fields are only ever added.
type SilenceInput struct {
	Timeout time.Duration `json:"timeout,omitempty"` // zero: as configured
	Chunk   int           `json:"chunk,omitempty"`   // agents per statement; zero: 1,000
}

// SilenceResult counts a run.
type SilenceResult struct {
	Offline          int `json:"offline"`
	SilentSuccessors int `json:"heirs"`   // new primaries without any heartbeat
	Retired          int `json:"retired"` // instances that count as ended
	Failed           int `json:"failed"`  // instances that EC2 could not be asked about now
}

// Counts names the counts for the run's row.
func (r *SilenceResult) Counts() map[string]int64 {
	return map[string]int64{"offline": int64(r.Offline), "silent_heirs": int64(r.SilentSuccessors), "retired": int64(r.Retired),
		"failed": int64(r.Failed)}
}

// MarkSilentAgents marks agents offline that have been silent for too long, one batch
// after another. An agent is marked and its client notified once per silence: a repeated
// run finds it offline already. Then it marks instances retired that agents left and
// that have gone; a repeated run finds them retired.
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
	if err := inChunks(ctx, chunk,
		&out.Offline, func() (int, error) { return a.Store.MarkSilent(ctx, timeout, chunk) }); err != nil {
		return nil, err
	}
	successors, err := a.Store.NotifySilentSuccessors(ctx, successorReportsWithin)
	if err != nil {
		return nil, err
	}
	out.SilentSuccessors = successors
	if err := inChunks(ctx, chunk,
		&out.Retired, func() (int, error) { return a.Store.RetireDeparted(ctx, chunk) }); err != nil {
		return nil, err
	}
	if err := a.askAboutDeparted(ctx, out); err != nil {
		return nil, err
	}
	return out, nil
}

// inChunks repeats a statement until it finds less than a chunk, and sums up.
func inChunks(ctx context.Context, chunk int, sum *int, do func() (int, error)) error {
	for {
		n, err := do()
		if err != nil {
			return err
		}
		*sum += n
		if n < chunk {
			return nil
		}
		recordHeartbeat(ctx)
	}
}

// askAboutDeparted asks EC2 about the instances that it can show. EC2's answer counts more
// than silence: an instance that runs is left as it is.
func (a *Agents) askAboutDeparted(ctx context.Context, out *SilenceResult) error {
	if a.Fleet == nil {
		return nil
	}
	list, err := a.Store.Departed(ctx, departedPerRun)
	if err != nil {
		return err
	}
	for _, d := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		recordHeartbeat(ctx)
		ended, err := a.hasEnded(ctx, d)
		if err != nil {
			out.Failed++
			a.Log.WarnContext(ctx, "EC2 could not be asked about an instance that fell silent",
				"client_id", d.Account.ClientID, "agent_id", d.AgentID, "instance_id", d.InstanceID,
				"code", fault.CodeOf(err), "error", err)
			continue
		}
		if !ended {
			continue
		}
		if err := a.Store.RetireOne(ctx, d.InstanceID); err != nil {
			return err
		}
		out.Retired++
	}
	return nil
}

// hasEnded says whether EC2 shows the instance as ended. In an account that we may
// not look into, its silence has said so.
func (a *Agents) hasEnded(ctx context.Context, d Departed) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	seen, err := a.Fleet.State(ctx, d.Account, d.Region, d.InstanceID)
	switch {
	case fault.Is(err, replica.Refused):
		return true, nil
	case err != nil:
		return false, err
	}
	return seen.State == StateTerminated || seen.State == StateAbsent && seen.gone(d.LaunchedAt, time.Now()), nil
}
