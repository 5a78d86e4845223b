package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/adoption"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/workflows/steps"
)

// How often a waiting Promotion reads for itself, should a message get lost, and how
// long it pauses when another decision was faster.
const (
	rereadEvery = 30 * time.Second
	stalePause  = time.Second
	mostStale   = 10 // refusals in a row before a promotion is given up
)

// PromotionInput starts a Promotion.
type PromotionInput struct {
	AgentID   string `json:"agent_id"`
	ReplicaID string `json:"replica_id"`
}

// PromotionResult is how a Promotion ended.
type PromotionResult struct {
	NewPrimary string `json:"new_primary"`
}

// Promotion carries out a person's request to make a replica primary. It waits until the
// replica is ready. Where agents send heartbeats from new instances, it also waits for the
// first one, unless the person accepts the replica without it. Then it changes the roles
// unless that is done, and retires the old primary unless it stays, as the standby or
// outside.
//
// It reads its row whenever it begins, so two requests for one replica have one outcome.
// Before the role change it can be called off at no cost, and the replica is left as it is;
// after it, it only goes forward.
func Promotion(ctx workflow.Context, in PromotionInput) (*PromotionResult, error) {
	op, err := newOperation(ctx, KindPromotion, in.AgentID)
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
	wish      roles.Promotion
	nudges    int
	cancelled bool
}

func (p *promotionRun) listen(ctx workflow.Context) error {
	steps.OnSignal(ctx, SignalNews, func() { p.nudges++ })
	return workflow.SetUpdateHandler(ctx, UpdateCancel, func(workflow.Context, CancelInput) (*OperationAnswer, error) {
		if p.progress.Committed {
			return nil, Committed.New("%s is past its point of no return", p.progress.OperationID).
				With("operation_id", p.progress.OperationID)
		}
		p.cancelled = true
		return &OperationAnswer{OperationID: p.progress.OperationID}, nil
	})
}

func (p *promotionRun) run(ctx workflow.Context) (*PromotionResult, error) {
	p.describe(activities.OperationProgress{
		Summary:   "promotion of replica " + p.in.ReplicaID,
		ReplicaID: p.in.ReplicaID,
	})
	if err := p.changeRoles(ctx); err != nil {
		ctx, cancel := workflow.NewDisconnectedContext(ctx)
		defer cancel()
		if steps.IsCancellation(err) {
			err = steps.Cancelled.Wrap(err, "%s was called off", p.progress.OperationID)
		}
		p.closeWithError(ctx, err, "replica "+p.in.ReplicaID+" was not promoted",
			"Replica "+p.in.ReplicaID+" was not promoted: "+steps.Sentence(err))
		return nil, err
	}
	w := p.wish
	p.progress.Committed, p.progress.NewInstanceID, p.progress.InstanceID = true, w.NewID, w.OldID
	p.addStep(ctx, "primary changed", stepDone, "%s instead of %s", w.NewID, w.OldID)
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	if err := p.retireOld(ctx); err != nil {
		p.closeWithError(ctx, err, w.NewID+" is primary, but the old instance may still be running",
			"Instance "+w.OldID+" could not be terminated and may still cost money")
		return nil, err
	}
	p.closeRow(ctx, activities.OperationEnd{
		State:   stateSucceeded,
		Phase:   "done",
		Summary: w.NewID + " was promoted in place of " + w.OldID,
	})
	return &PromotionResult{NewPrimary: w.NewID}, nil
}

// changeRoles returns when the replica is, or was, the primary, whichever decision made it
// that. The roles are judged as they are when the replica is ready.
func (p *promotionRun) changeRoles(ctx workflow.Context) error {
	var local *activities.Roles
	for stale, waiting := 0, false; ; {
		if err := steps.RunUntilSaved(ctx, "read the promotion", local.LoadPromotion, &p.wish,
			p.in.ReplicaID); err != nil || p.wish.Changed {
			return err
		}
		var set roles.AgentRoles
		if err := steps.RunUntilSaved(ctx, "read the roles", local.LoadRoles, &set, p.in.AgentID); err != nil {
			return err
		}
		successor, err := set.CanPromote(p.in.ReplicaID, true)
		if err != nil {
			return err
		}
		pause := min(p.wish.Left, rereadEvery)
		silent := successor.State == replica.Ready && set.AwaitsWord(successor) && !p.wish.AcceptSilent
		if successor.State == replica.Ready && !silent {
			err := steps.RunUntilSaved(ctx, "make "+successor.InstanceID+" primary", local.ChangeRoles, nil,
				set.Promote(successor, p.wish.Demote))
			if err != nil && !fault.Is(err, roles.StaleEpoch) {
				return err
			}
			if err != nil {
				stale++
			}
			if stale == mostStale {
				return err
			}
			pause = stalePause // another decision was faster, or the change is there to be read
			if err == nil {
				wakeGuardian(ctx, p.in.AgentID, "promoted")
				sendNews(ctx, activities.Nudge{OperationID: ReplicaID(p.in.ReplicaID), AgentID: p.in.AgentID})
				continue
			}
		}
		if p.wish.Left <= 0 && silent {
			return switching.Silent.New("%s runs, but its agent was not heard of in time: "+
				"have the image or the user data start the agent at boot", successor.InstanceID)
		}
		if p.wish.Left <= 0 {
			return replica.NotReady.New("replica %s was not ready in time", p.in.ReplicaID)
		}
		if !waiting {
			waiting = true
			p.enterPhase(ctx, "waiting", "replica %s is not ready yet", p.in.ReplicaID)
		}
		seen := p.nudges
		_, err = steps.AwaitWithin(ctx, pause, "look whether replica "+p.in.ReplicaID+" is ready",
			func() bool { return p.nudges != seen || p.cancelled })
		if err != nil {
			return err
		}
		if p.cancelled {
			return steps.Cancelled.New("a person called it off")
		}
	}
}

// retireOld ends the old instance, if that is ours to do.
func (p *promotionRun) retireOld(ctx workflow.Context) error {
	var instances *activities.Instances
	old := p.wish.OldID
	if !p.wish.RetireOld {
		p.addStep(ctx, "old instance", stepDone, "%s is not ours to end", old)
		return nil
	}
	p.enterPhase(ctx, "retiring_old", "ending %s", old)
	err := steps.RunActivity(ctx, steps.RetirePolicy, "terminate "+old, instances.RetireInstance,
		activities.WatchInput{AgentID: p.in.AgentID, InstanceID: old}).Get(ctx, nil)
	switch {
	case err == nil:
		p.addStep(ctx, "terminate "+old, stepDone, "")
		return nil
	case fault.Is(err, roles.IsPrimary):
		p.addStep(ctx, "terminate "+old, stepDropped, "it is the primary again")
		return nil
	case adoption.Refused(err):
		p.addStep(ctx, "terminate "+old, stepDropped, "%s", steps.Sentence(err))
		return nil
	}
	return steps.UndoFailed.Wrap(err, "instance %s may still be running", old)
}
