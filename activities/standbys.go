package activities

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
)

// StandbyStore lists the standbys to look at and stores what was found.
type StandbyStore interface {
	ReplicaStore
	// ListHeld lists the instances of all replicas that are ready and that the control
	// plane launched, grouped by account and region, at most perPlace in a group.
	ListHeld(ctx context.Context, perPlace int) ([]HeldPlace, error)
	// MarkRetired records that an instance has ended.
	MarkRetired(ctx context.Context, instanceID string) error
}

// StandbyFleet is the part of the way to EC2 that the watch uses.
type StandbyFleet interface {
	// States says what EC2 shows of the instances, by id. One that it does not show is
	// not among them.
	States(ctx context.Context, a Account, region string, ids []string) (map[string]CloudInstance, error)
}

// HeldPlace are standbys in one account and region.
type HeldPlace struct {
	Account Account
	Region  string
	Held    []HeldStandby
}

// HeldStandby is a standby.
type HeldStandby struct {
	ReplicaID  string    `json:"replica_id"`
	AgentID    string    `json:"agent_id"`
	InstanceID string    `json:"instance_id"`
	LaunchedAt time.Time `json:"launched_at"`
}

// Standbys watch the instances that stand by. One question to EC2 answers for hundreds
// of them, so a standby that is held for weeks costs its account hardly any calls, and
// its workflow none.
type Standbys struct {
	Store     StandbyStore
	Fleet     StandbyFleet
	Workflows Messenger
	Log       *slog.Logger
	Now       func() time.Time // nil: time.Now
}

// Bounds of the watch.
const (
	heldPerPlace  = 200 // EC2's limit of values per filter
	heldWithin    = 15 * time.Second
	heldPerClient = time.Minute
)

// WatchStandbysResult counts a run.
type WatchStandbysResult struct {
	Watched int `json:"watched"`
	Lost    int `json:"lost"`   // found stopped or ended
	Failed  int `json:"failed"` // could not be looked at, or not be dealt with
}

// Counts names the counts for the run's row.
func (r *WatchStandbysResult) Counts() map[string]int64 {
	return map[string]int64{"watched": int64(r.Watched), "lost": int64(r.Lost), "failed": int64(r.Failed)}
}

// WatchStandbys asks EC2 about every standby. The replica of one that stops, hibernates
// or has ended fails in its row at once, so that it is no longer a successor; its
// workflow ends what is left of it, and the Guardian opens the next one. An instance
// that EC2 does not show counts as ended only when it is too old to be merely unseen.
// The row decides, so a run that is repeated finds its own work done.
func (s *Standbys) WatchStandbys(ctx context.Context) (*WatchStandbysResult, error) {
	places, err := s.Store.ListHeld(ctx, heldPerPlace)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	out := &WatchStandbysResult{}
	bounds := fairness{atOnce: watchedAtOnce, client: heldPerClient, one: heldWithin}
	eachFairly(ctx, places, func(p HeldPlace) string { return p.Account.ClientID },
		bounds, func(ctx context.Context, p HeldPlace) {
			seen, lost, failed := s.watchPlace(ctx, p)
			mu.Lock()
			defer mu.Unlock()
			out.Watched, out.Lost, out.Failed = out.Watched+seen, out.Lost+lost, out.Failed+failed
		})
	return out, ctx.Err()
}

func (s *Standbys) watchPlace(ctx context.Context, p HeldPlace) (watched, lost, failed int) {
	ids := make([]string, len(p.Held))
	for i, h := range p.Held {
		ids[i] = h.InstanceID
	}
	seen, err := s.Fleet.States(ctx, p.Account, p.Region, ids)
	if err != nil {
		s.Log.WarnContext(ctx, "standbys could not be looked at", "client_id", p.Account.ClientID, "region", p.Region,
			"standbys", len(ids), "error", err)
		return 0, 0, len(ids)
	}
	for _, h := range p.Held {
		i, shown := seen[h.InstanceID]
		if !shown {
			i = CloudInstance{ID: h.InstanceID, State: StateAbsent}
		}
		if !i.gone(h.LaunchedAt, s.now()) {
			continue
		}
		if err := s.fail(ctx, h, &i); err != nil {
			s.Log.WarnContext(ctx, "a standby that is gone could not be dealt with",
				"client_id", p.Account.ClientID, "agent_id", h.AgentID, "instance_id", h.InstanceID, "error", err)
			failed++
			continue
		}
		lost++
		s.Log.WarnContext(ctx, "a standby is gone", "client_id", p.Account.ClientID, "agent_id", h.AgentID,
			"instance_id", h.InstanceID,
			"state", i.State, "reason", i.Reason)
	}
	return len(ids), lost, failed
}

// fail closes the replica, and signals its workflow and the Guardian. When these signals
// are lost, the sweep of open rows sends them.
func (s *Standbys) fail(ctx context.Context, h HeldStandby, i *CloudInstance) error {
	why := replica.InstanceGone.New("instance %s is %s and cannot take over", h.InstanceID, i.State)
	if i.Reason != "" {
		why = replica.InstanceGone.New("instance %s is %s and cannot take over: %s", h.InstanceID, i.State, i.Reason)
	}
	step := roles.ReplicaTransition{
		ReplicaID:  h.ReplicaID,
		To:         replica.Failed,
		InstanceID: h.InstanceID,
		ErrorCode:  why.Code,
		Error:      why.Message,
	}
	done, err := s.Store.AdvanceJudged(ctx, step, (*roles.AgentRoles).Unsettled)
	if err != nil || !done.Ours { // it was promoted meanwhile: the watch over primaries has it
		return err
	}
	if i.State == StateTerminated || i.State == StateAbsent {
		if err := s.Store.MarkRetired(ctx, h.InstanceID); err != nil {
			return err
		}
	}
	lost := s.Workflows.Nudge(ctx, Nudge{
		OperationID: roles.ReplicaOperation(h.ReplicaID),
		AgentID:     h.AgentID,
		Start:       true,
	})
	if done.Wake {
		lost = cmp.Or(lost, s.Workflows.Wake(ctx, h.AgentID, h.ReplicaID+" is gone"))
	}
	if lost != nil {
		s.Log.WarnContext(ctx, "a message got lost: the sweep makes up for it", "agent_id", h.AgentID, "error", lost)
	}
	return nil
}

func (s *Standbys) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}
