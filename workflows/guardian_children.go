package workflows

import (
	"slices"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/interruption"
	"spotkeeper/internal/replica"
	"spotkeeper/internal/roles"
)

// child gives the options of every child. It is abandoned, because a Guardian
// ends whenever it has nothing to do, and its id comes back only after a failure,
// because whoever starts it twice means the same operation.
func child(ctx workflow.Context, id, clientID, agentID, reason, summary string) workflow.Context {
	return workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:            id,
		ParentClosePolicy:     enums.PARENT_CLOSE_POLICY_ABANDON,
		WorkflowIDReusePolicy: enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY,
		StaticSummary:         summary,
		TypedSearchAttributes: attributes(clientID, agentID, reason),
	})
}

// launch holds the Guardian until a child runs: a start that is still on its way
// is dropped with its parent. The child's end is not awaited. One that runs or
// ran already is fine; otherwise says what to do then, if anything.
func (g *guardian) launch(ctx workflow.Context, run workflow.ChildWorkflowFuture, otherwise func(workflow.Context) error) {
	g.inFlight++
	g.starts++
	workflow.Go(ctx, func(ctx workflow.Context) {
		defer func() { g.inFlight-- }()
		err := run.GetChildWorkflowExecution().Get(ctx, nil)
		g.starts--
		if temporal.IsWorkflowExecutionAlreadyStartedError(err) {
			err = nil
			if otherwise != nil {
				err = otherwise(ctx)
			}
		}
		if err != nil {
			workflow.GetLogger(ctx).Error("child did not start", "agent_id", g.in.AgentID, "error", err)
			g.dirty = true
		}
	})
}

// startReplica starts the workflow of a replica that was decided on. Its row says
// how long the launch waits; one that somebody asked for backs off all the same.
func (g *guardian) startReplica(ctx workflow.Context, set *roles.Set, r roles.Replica) {
	in := ReplicaInput{
		AgentID: set.AgentID, ClientID: set.ClientID, ReplicaID: r.ID, Kind: r.Kind, For: r.For, Launcher: r.Launcher, Hold: r.Hold,
		Delay: max(r.Wait, roles.BackOff(r.Kind, set.Failures)), Epoch: set.Epoch, InstanceID: r.InstanceID, Ready: r.State == replica.Ready,
	}
	ctx = child(ctx, ReplicaID(r.ID), set.ClientID, set.AgentID, string(r.Kind), string(r.Kind)+" replica of "+set.AgentID)
	g.launch(ctx, workflow.ExecuteChildWorkflow(ctx, Replica, in), nil)
}

// startTermination starts the page and the aftercare of a lost instance. When it
// runs already, it is told the outcome.
func (g *guardian) startTermination(ctx workflow.Context, set *roles.Set, in TerminationInput) {
	if g.watched[in.Notice.InstanceID] && in.Outcome.Result != interruption.Undecided {
		g.tellTermination(ctx, in.Outcome)
		return
	}
	if set.Primary.ID == in.Notice.InstanceID {
		in.CallOff = switchesIn(set)
	}
	in.ClientID, in.Keeping, in.Launcher = set.ClientID, set.Keeping, set.Launcher
	ctx = child(ctx, TerminationID(set.AgentID, in.Notice.InstanceID), set.ClientID, set.AgentID, "termination", "termination of "+in.Notice.InstanceID)
	g.launch(ctx, workflow.ExecuteChildWorkflow(ctx, Termination, in), func(ctx workflow.Context) error {
		if in.Outcome.Result == interruption.Undecided {
			return nil
		}
		return g.tell(ctx, terminationNews(set.AgentID, in.Outcome))
	})
}

// tellTermination tells the page of a notice how it was decided.
func (g *guardian) tellTermination(ctx workflow.Context, o interruption.Outcome) {
	g.inFlight++
	workflow.Go(ctx, func(ctx workflow.Context) {
		defer func() { g.inFlight-- }()
		if err := g.tell(ctx, terminationNews(g.in.AgentID, o)); err != nil {
			workflow.GetLogger(ctx).Warn("a termination was not told its outcome", "agent_id", g.in.AgentID, "instance_id", o.InstanceID, "error", err)
		}
	})
}

func terminationNews(agentID string, o interruption.Outcome) activities.News {
	return activities.News{OperationID: TerminationID(agentID, o.InstanceID), ReplicaID: o.ReplicaID, InstanceID: o.NewPrimary, Outcome: &o}
}

func (g *guardian) tell(ctx workflow.Context, news activities.News) error {
	var msgs *activities.Messages
	return message(ctx, "tell "+news.OperationID, msgs.TellOperation, news)
}

// startPromotion leaves a promotion, or what is left of it, to a child. It
// returns when the child runs.
func (g *guardian) startPromotion(ctx workflow.Context, set *roles.Set, in PromotionInput) error {
	ctx = child(ctx, PromotionID(in.Change.ReplicaID), set.ClientID, set.AgentID, "promotion", "promotion of replica "+in.Change.ReplicaID)
	return started(ctx, workflow.ExecuteChildWorkflow(ctx, Promotion, in))
}

func (g *guardian) startSwitch(ctx workflow.Context, set *roles.Set, in SwitchInput) error {
	ctx = child(ctx, SwitchID(in.CommandID), set.ClientID, set.AgentID, in.Trigger, "switch of "+in.AgentID+": "+in.Reason)
	return started(ctx, workflow.ExecuteChildWorkflow(ctx, Switch, in))
}

func (g *guardian) startRemoval(ctx workflow.Context, in RemovalInput) error {
	ctx = child(ctx, RemovalID(in.AgentID), in.ClientID, in.AgentID, "removal", "removal of agent "+in.AgentID)
	return started(ctx, workflow.ExecuteChildWorkflow(ctx, Removal, in))
}

// started waits until a child runs; one that runs or ran already is fine.
func started(ctx workflow.Context, run workflow.ChildWorkflowFuture) error {
	err := run.GetChildWorkflowExecution().Get(ctx, nil)
	if temporal.IsWorkflowExecutionAlreadyStartedError(err) {
		return nil
	}
	return err
}

// switchesIn names the Switches in flight.
func switchesIn(set *roles.Set) []string {
	var ids []string
	if set.OpenSwitch != "" {
		ids = append(ids, SwitchID(set.OpenSwitch))
	}
	for _, r := range set.Replicas {
		if id := SwitchID(r.For); r.Kind == replica.Switch && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}
