package workflows

import (
	"strings"

	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/agent"
	"spotkeeper/internal/fault"
	"spotkeeper/internal/replica"
	"spotkeeper/internal/roles"
)

// launch gets an instance: from EC2, or from the agent that launches on our word.
func (r *replicaRun) launch(ctx workflow.Context) error {
	switch {
	case r.instanceID != "":
		return nil
	case r.in.Launcher == agent.ByAgent:
		return r.awaitAgent(ctx)
	}
	var local *activities.Instances
	var choice activities.ChooseResult
	r.enter(ctx, "choosing", "choosing where to launch")
	if err := lasting(ctx, "choose pools", local.ChooseCandidates, &choice, activities.ChooseInput{AgentID: r.in.AgentID, ReplicaID: r.in.ReplicaID}); err != nil {
		return err
	}
	var last error = replica.NoPool.New("there is no pool to launch in")
	avoid := &avoidance{}
	for _, c := range choice.Candidates {
		if why := avoid.reason(c); why != "" {
			r.note(ctx, "skip "+c.Key(), stepDropped, "%s", why)
			continue
		}
		if r.isReleased() {
			return nil
		}
		err := r.try(ctx, c)
		if err == nil || !avoid.learn(c, fault.CodeOf(err)) {
			return err
		}
		last = err
	}
	return replica.NoPool.Wrap(last, "none of %d pools had room", len(choice.Candidates))
}

// try launches in one pool and remembers how it went.
func (r *replicaRun) try(ctx workflow.Context, c replica.Candidate) error {
	var instances *activities.Instances
	var made activities.LaunchResult
	r.enter(ctx, "launching", "launching in %s (%s)", c.Key(), c.Why)
	err := step(ctx, launchPolicy, "launch in "+c.Key(), instances.LaunchInstance, activities.LaunchInput{
		AgentID: r.in.AgentID, ReplicaID: r.in.ReplicaID, Where: c, Operation: r.progress.OperationID, Epoch: r.in.Epoch,
	}).Get(ctx, &made)
	if isCancel(err) {
		return err
	}
	code := fault.CodeOf(err)
	if err != nil {
		r.note(ctx, "launch in "+c.Key(), stepFailed, "%s: %s", code, err)
	} else {
		r.instanceID, r.poolID = made.InstanceID, c.PoolID
		r.progress.NewInstanceID = made.InstanceID
		if err := r.advance(ctx, roles.Step{To: replica.Launching, InstanceID: made.InstanceID, Where: &c}); err != nil {
			return err
		}
		r.note(ctx, "launch in "+c.Key(), stepDone, "%s", made.InstanceID)
		if err := r.tellSwitch(ctx, replica.Launching); err != nil {
			return err
		}
	}
	outcome := activities.PoolOutcome{AgentID: r.in.AgentID, Where: c, Code: string(code)}
	if remember := localStepWith(ctx, pagePolicy, "remember "+c.Key(), instances.RecordPool, outcome).Get(ctx, nil); remember != nil {
		workflow.GetLogger(ctx).Warn("a pool's outcome was not remembered", "agent_id", r.in.AgentID, "pool", c.Key(), "error", remember)
	}
	return err
}

// avoidance is what failed launches say about the candidates that follow.
type avoidance struct {
	quotas []string // modes and families whose quota is used up
	zones  []string // that have no address left
}

// learn takes in a failed launch, and says whether the next candidate may help.
// The five classes of errors ask for five reactions; throttling, which the launch
// has waited out already, and whatever nobody knows, are not answered by falling
// back: the instance may exist.
func (a *avoidance) learn(c replica.Candidate, code fault.Code) bool {
	switch code {
	case replica.NoCapacity, replica.TokenDead:
		return true // the next pool
	case replica.Quota:
		a.quotas = append(a.quotas, quotaKey(c)) // another family, or on-demand
		return true
	case replica.NoAddresses:
		a.zones = append(a.zones, c.AZ) // another subnet
		return true
	default:
		return false
	}
}

// reason says why a candidate is not worth trying, "" when it is.
func (a *avoidance) reason(c replica.Candidate) string {
	for _, key := range a.quotas {
		if key == quotaKey(c) {
			return "the quota of " + key + " is used up"
		}
	}
	for _, zone := range a.zones {
		if zone == c.AZ {
			return zone + " has no address left"
		}
	}
	return ""
}

// quotaKey is what EC2 counts together: a family, as spot and as on-demand.
func quotaKey(c replica.Candidate) string {
	family, _, _ := strings.Cut(c.InstanceType, ".")
	return string(c.Mode) + " " + family
}

// awaitAgent waits until the agent has launched on our word and names its
// instance. Until then the row is what it finds when it asks what to launch.
func (r *replicaRun) awaitAgent(ctx workflow.Context) error {
	r.enter(ctx, "awaiting_agent", "waiting until the agent has launched an instance")
	named, err := workflow.AwaitWithTimeout(ctx, replica.AgentDeadline, func() bool {
		return r.instanceID != "" || r.refused != nil || r.isReleased()
	})
	switch {
	case err != nil || r.isReleased():
		return err
	case r.refused != nil:
		return r.agentGaveUp()
	case !named:
		return replica.NotReady.New("the agent has launched nothing within %s", replica.AgentDeadline)
	}
	r.progress.NewInstanceID = r.instanceID
	r.note(ctx, "launched by the agent", stepDone, "%s", r.instanceID)
	return nil
}
