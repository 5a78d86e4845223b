package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/fault"
	"spotkeeper/internal/replica"
	"spotkeeper/internal/roles"
)

// rereadEvery is how often a waiting Promotion reads for itself, should the news
// of its replica get lost.
const rereadEvery = 30 * time.Second

// PromotionInput starts a Promotion.
type PromotionInput struct {
	Change   roles.Change  `json:"change"`
	ClientID string        `json:"client_id,omitempty"`
	Wait     time.Duration `json:"wait"`    // for the replica to be ready
	Changed  bool          `json:"changed"` // the Guardian changed the roles: only the aftercare is left
	By       string        `json:"by,omitempty"`
}

// PromotionResult is how a Promotion ended.
type PromotionResult struct {
	NewPrimary string `json:"new_primary"`
}

// Promotion makes a replica primary because somebody asked for it: it waits until
// the replica is ready, changes the roles, and retires the old primary unless it
// stays, as the standby or outside. Before the role change it can be called off at
// no cost, and the replica is left as it is; after it, it only goes forward.
func Promotion(ctx workflow.Context, in PromotionInput) (*PromotionResult, error) {
	op, err := show(ctx, KindPromotion, in.Change.AgentID)
	if err != nil {
		return nil, err
	}
	p := &promotionRun{operation: op, in: in}
	if err := p.listen(ctx); err != nil {
		return nil, err
	}
	return p.run(ctx)
}

type promotionRun struct {
	*operation
	in        PromotionInput
	stirred   int // pieces of news so far
	cancelled bool
}

func (p *promotionRun) listen(ctx workflow.Context) error {
	news := workflow.GetSignalChannel(ctx, SignalNews)
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			if more := news.Receive(ctx, nil); !more {
				return
			}
			p.stirred++
		}
	})
	return workflow.SetUpdateHandler(ctx, UpdateCancel, func(workflow.Context, CancelInput) (*OperationAnswer, error) {
		if p.progress.Committed || p.in.Changed {
			return nil, Committed.New("%s is past its point of no return", p.progress.OperationID).With("operation_id", p.progress.OperationID)
		}
		p.cancelled = true
		return &OperationAnswer{OperationID: p.progress.OperationID}, nil
	})
}

func (p *promotionRun) run(ctx workflow.Context) (*PromotionResult, error) {
	c := &p.in.Change
	p.begin(ctx, activities.BeginOperation{Summary: "promotion of replica " + c.ReplicaID, Cause: p.in.By, InstanceID: c.OldID, ReplicaID: c.ReplicaID})
	if !p.in.Changed {
		if err := p.change(ctx); err != nil {
			ctx, cancel := workflow.NewDisconnectedContext(ctx)
			defer cancel()
			if isCancel(err) {
				err = Cancelled.Wrap(err, "%s was called off", p.progress.OperationID)
			}
			p.endBadly(ctx, err, "replica "+c.ReplicaID+" was not promoted", "Replica "+c.ReplicaID+" was not promoted: "+sentence(err))
			return nil, err
		}
	}
	p.progress.Committed, p.progress.NewInstanceID = true, c.NewID
	p.note(ctx, "primary changed", stepDone, "%s instead of %s", c.NewID, c.OldID)
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	if err := p.aftercare(ctx); err != nil {
		p.endBadly(ctx, err, c.NewID+" is primary, but the old instance may still be running", "Instance "+c.OldID+" could not be terminated and may still cost money")
		return nil, err
	}
	p.end(ctx, activities.EndOperation{State: stateSucceeded, Phase: "done", Summary: c.NewID + " was promoted in place of " + c.OldID})
	return &PromotionResult{NewPrimary: c.NewID}, nil
}

// change waits until the replica is ready and makes it primary. The roles are
// judged again as they are then.
func (p *promotionRun) change(ctx workflow.Context) error {
	var local *activities.Roles
	c := &p.in.Change
	p.enter(ctx, "waiting", "replica %s is not ready yet", c.ReplicaID)
	for deadline := workflow.Now(ctx).Add(p.in.Wait); ; {
		var set roles.Set
		if err := lasting(ctx, "read the roles", local.LoadRoles, &set, c.AgentID); err != nil {
			return err
		}
		heir, err := set.CanPromote(c.ReplicaID, true)
		if err != nil {
			return err
		}
		if heir.State == replica.Ready {
			c.NewID, c.OldID, c.Epoch = heir.InstanceID, set.Primary.ID, set.Epoch
			err := lasting(ctx, "make "+c.NewID+" primary", local.ChangeRoles, nil, *c)
			if !fault.Is(err, roles.Stale) {
				return err
			}
			continue // somebody was faster: judge again
		}
		left, seen := deadline.Sub(workflow.Now(ctx)), p.stirred
		if left <= 0 {
			return replica.NotReady.New("replica %s was not ready within %s", c.ReplicaID, p.in.Wait)
		}
		if _, err := workflow.AwaitWithTimeout(ctx, min(left, rereadEvery), func() bool { return p.stirred != seen || p.cancelled }); err != nil {
			return err
		}
		if p.cancelled {
			return Cancelled.New("a person called it off")
		}
	}
}

// aftercare ends the replica's stand-by and the old instance's time.
func (p *promotionRun) aftercare(ctx workflow.Context) error {
	var msgs *activities.Messages
	var instances *activities.Instances
	c := p.in.Change
	if err := deliver(ctx, "release replica "+c.ReplicaID, msgs.ReleaseReplica, activities.Release{AgentID: c.AgentID, ReplicaID: c.ReplicaID,
		InstanceID: c.NewID, As: replica.Promoted}); err != nil {
		return err
	}
	p.note(ctx, "replica released", stepDone, "%s is no stand-by any more", c.NewID)
	if err := deliver(ctx, "wake the guardian", msgs.WakeGuardian, activities.WakeInput{AgentID: c.AgentID, Why: "promoted"}); err != nil {
		return err
	}
	if c.Fate != roles.Retire {
		p.note(ctx, "old instance", stepDone, "%s: %s", c.OldID, c.Fate)
		return nil
	}
	p.enter(ctx, "retiring_old", "ending %s", c.OldID)
	err := step(ctx, retirePolicy, "terminate "+c.OldID, instances.RetireInstance, activities.WatchInput{AgentID: c.AgentID, InstanceID: c.OldID}).Get(ctx, nil)
	switch {
	case err == nil:
		p.note(ctx, "terminate "+c.OldID, stepDone, "")
		return nil
	case fault.Is(err, roles.IsPrimary):
		p.note(ctx, "terminate "+c.OldID, stepDropped, "it is the primary again")
		return nil
	}
	return UndoFailed.Wrap(err, "instance %s may still be running", c.OldID)
}
