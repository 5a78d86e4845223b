package activities

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"spotkeeper/internal/domain/adoption"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
)

// InstanceStore stores launches, templates and terminations for the instance activities.
type InstanceStore interface {
	// Choice reads what the choice of pools is made from.
	Choice(ctx context.Context, agentID, replicaID string) (replica.Plan, replica.ChoiceFacts, error)
	// LaunchPlace says for whom and beside which primary a replica is launched.
	// Fails with replica.not_found, and replica.already_ended when it is not open.
	LaunchPlace(ctx context.Context, replicaID string) (*LaunchPlace, error)
	// FrozenLaunch finds the attempt in a pool, nil when there is none yet.
	FrozenLaunch(ctx context.Context, replicaID string, where replica.Candidate) (*FrozenLaunch, error)
	// FreezeLaunch stores an attempt before it is made, or returns the stored one.
	FreezeLaunch(ctx context.Context, replicaID string, where replica.Candidate, f FrozenLaunch) (*FrozenLaunch, error)
	// EndLaunch records how an attempt ended. Fails with replica.already_exists when
	// the replica has an instance of another attempt.
	EndLaunch(ctx context.Context, token string, end LaunchEnd) error
	// KeepTemplate stores a template for when its instance is gone.
	KeepTemplate(ctx context.Context, agentID, instanceID string, template json.RawMessage) error
	// Template returns the remembered template, nil when there is none.
	Template(ctx context.Context, agentID string) (json.RawMessage, error)
	// Whereabouts says where an instance of the agent is.
	Whereabouts(ctx context.Context, agentID, instanceID string) (*EndingInstance, error)
	// MarkRetiring is Whereabouts that takes the instance out of its role. Fails
	// with roles.is_primary.
	MarkRetiring(ctx context.Context, agentID, instanceID string) (*EndingInstance, error)
	MarkRetired(ctx context.Context, instanceID string) error
	// Forget records that an instance is left alone, and why.
	Forget(ctx context.Context, agentID, instanceID string, refusal LaunchEnd) error
	RecordPool(ctx context.Context, in PoolOutcome) error
}

// LaunchPlace is the surroundings of a launch.
type LaunchPlace struct {
	Account   Account
	PrimaryID string
	Region    string // of the primary
	Young     bool   // the primary's first report is recent: EC2 may not show it yet
}

// LaunchEnd is how an attempt ended: with an instance, with a fault's code, or with both
// when its instance was ended at once.
type LaunchEnd struct {
	InstanceID string
	Code       fault.Code
	Error      string
}

// EndingInstance is the place of an instance that is watched or ended.
type EndingInstance struct {
	Account    Account
	Region     string
	LaunchedAt time.Time
	Ended      bool // it is known to have ended
	Proof      adoption.Proof
}

// Instances are the steps at EC2. They are regular activities: slow, limited and
// retried. What they create is found again by its token, and what they end is
// judged by its state, so each may run any number of times.
type Instances struct {
	Store     InstanceStore
	Replicas  ReplicaStore
	Workflows interface { // the part of Messenger that wakes the Guardian
		Wake(ctx context.Context, agentID, why string) error
	}
	Fleet Fleet
	Log   *slog.Logger
	Now   func() time.Time // nil: time.Now
	Slots Slots            // for local steps that wait for EC2
}

func (i *Instances) now() time.Time {
	if i.Now == nil {
		return time.Now()
	}
	return i.Now()
}

// ChooseCandidates lists the pools to try, best first, from the present
// rows of Postgres. It changes nothing, so it may run again, with fresher facts. Fails with
// replica.no_pool when there is nothing to try and replica.not_found.
func (i *Instances) ChooseCandidates(ctx context.Context, in ChooseInput) (*ChooseResult, error) {
	plan, facts, err := i.Store.Choice(ctx, in.AgentID, in.ReplicaID)
	if err != nil {
		return nil, err
	}
	out := replica.Choose(plan, facts)
	if len(out) == 0 {
		return nil, replica.NoPool.New("no pool in %s may be tried now", facts.Primary.Region)
	}
	return &ChooseResult{Candidates: out, Revisit: true}, nil
}

// LaunchInstance launches one instance for a replica in one pool. The request is
// frozen in Postgres before EC2 sees it, and its token follows from the replica,
// the pool and the mode alone: a repetition, in this run or another,
// finds the same instance, and an answer that was lost is not a second launch.
//
// Fails with replica.already_ended when the replica was given up meanwhile, with
// launch.no_capacity, .quota, .no_addresses and .token_of_dead_instance, which
// the workflow answers with another pool, and with launch.refused,
// .misconfigured and .token_reused, which it does not.
func (i *Instances) LaunchInstance(ctx context.Context, in LaunchInput) (*LaunchResult, error) {
	place, err := i.Store.LaunchPlace(ctx, in.ReplicaID)
	if err != nil {
		return nil, err
	}
	frozen, err := i.freezeRequest(ctx, in, place)
	if err != nil {
		return nil, err
	}
	if frozen.State == "launched" {
		return &LaunchResult{InstanceID: frozen.InstanceID}, nil
	}
	log := i.Log.With("client_id", place.Account.ClientID, "agent_id", in.AgentID, "operation_id", in.Operation,
		"pool", in.Where.Key())
	made, err := i.launchFrozen(ctx, in, place, frozen, log)
	if err != nil {
		return nil, err
	}
	if len(made.Lacks) > 0 {
		log.WarnContext(ctx, "the instance is not quite what was asked for", "instance_id", made.ID,
			"lacks", made.Lacks)
	}
	log.InfoContext(ctx, "launched", "instance_id", made.ID)
	return &LaunchResult{InstanceID: made.ID, Differs: made.Lacks}, nil
}

// launchFrozen sends the frozen request. One that is refused for a part that can be
// replaced, as a full subnet of several, is followed by the next one for the candidate.
func (i *Instances) launchFrozen(
	ctx context.Context, in LaunchInput, place *LaunchPlace, frozen *FrozenLaunch, log *slog.Logger,
) (*CloudInstance, error) {
	for {
		made, err := i.Fleet.Launch(ctx, place.Account, frozen.Request)
		if err == nil {
			return made, i.endLaunched(ctx, in, place, frozen, made, log)
		}
		if fault.KindOf(err).Retryable() {
			return nil, err // the launch may have succeeded: the next call with this token finds out
		}
		log.WarnContext(ctx, "launch failed", "code", fault.CodeOf(err), "error", err)
		if end := i.Store.EndLaunch(ctx, frozen.Token,
			LaunchEnd{Code: fault.CodeOf(err), Error: err.Error()}); end != nil {
			return nil, end
		}
		next, ok := i.Fleet.Revise(*frozen, err)
		if !ok {
			return nil, err
		}
		if frozen, err = i.Store.FreezeLaunch(ctx, in.ReplicaID, in.Where, *next); err != nil {
			return nil, err
		}
	}
}

// endLaunched records the instance of an attempt. A second one for the replica is ended:
// one launch decision, one instance.
func (i *Instances) endLaunched(
	ctx context.Context,
	in LaunchInput,
	place *LaunchPlace,
	frozen *FrozenLaunch,
	made *CloudInstance,
	log *slog.Logger,
) error {
	err := i.Store.EndLaunch(ctx, frozen.Token, LaunchEnd{InstanceID: made.ID})
	if fault.Is(err, replica.AlreadyExists) {
		log.ErrorContext(ctx, "a second instance for one replica is ended", "instance_id", made.ID)
		if undo := i.Fleet.Terminate(ctx, place.Account, in.Where.Region, made.ID, i.now()); undo != nil {
			return undo
		}
		if end := i.Store.EndLaunch(ctx, frozen.Token,
			LaunchEnd{InstanceID: made.ID, Code: replica.AlreadyExists, Error: err.Error()}); end != nil {
			return end
		}
	}
	return err
}

// freezeRequest returns the stored request of the attempt, and makes it the first time.
func (i *Instances) freezeRequest(ctx context.Context, in LaunchInput, place *LaunchPlace) (*FrozenLaunch, error) {
	if stored, err := i.Store.FrozenLaunch(ctx, in.ReplicaID, in.Where); err != nil || stored != nil {
		return stored, err
	}
	template, err := i.template(ctx, in, place)
	if err != nil {
		return nil, err
	}
	fresh, err := i.Fleet.Freeze(template, in.Where, LaunchOwner{
		ClientID:  place.Account.ClientID,
		AgentID:   in.AgentID,
		ReplicaID: in.ReplicaID,
		Operation: in.Operation,
		Epoch:     in.Epoch,
	})
	if err != nil {
		return nil, err
	}
	return i.Store.FreezeLaunch(ctx, in.ReplicaID, in.Where, *fresh)
}

// template is what the new instance copies: read from the primary while it is there,
// else what was noted of it. An urgent launch takes what was noted first, because EC2
// costs it time.
func (i *Instances) template(ctx context.Context, in LaunchInput, place *LaunchPlace) (json.RawMessage, error) {
	if in.Urgent {
		if noted, err := i.Store.Template(ctx, in.AgentID); err != nil || noted != nil {
			return noted, err
		}
	}
	template, err := i.Fleet.Template(ctx, place.Account, place.Region, place.PrimaryID)
	if err == nil {
		return template, i.Store.KeepTemplate(ctx, in.AgentID, place.PrimaryID, template)
	}
	if !fault.Is(err, replica.InstanceGone) {
		return nil, err
	}
	template, err = i.Store.Template(ctx, in.AgentID)
	switch {
	case err != nil || template != nil:
	case place.Young:
		err = replica.NotRunning.New("EC2 does not show instance %s yet", place.PrimaryID)
	default:
		err = replica.Misconfigured.New("instance %s has ended, and what it was launched with was never recorded",
			place.PrimaryID)
	}
	return template, err
}

// RecordPool records how a launch in a pool went, for the next choice. A pool
// that rests already does not rest longer, so a second run changes nothing.
func (i *Instances) RecordPool(ctx context.Context, in PoolOutcome) error {
	return i.Store.RecordPool(ctx, in)
}
