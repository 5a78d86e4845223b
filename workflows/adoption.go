package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/adoption"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/workflows/steps"
)

// How long an Adoption waits for a repair, and how often it asks EC2 by itself. A news
// signal makes it ask at once.
const (
	adoptionFor       = 72 * time.Hour
	adoptionFirstWait = time.Minute
	adoptionLastWait  = time.Hour
)

// AdoptionInput starts an Adoption.
type AdoptionInput struct {
	AgentID    string `json:"agent_id"`
	InstanceID string `json:"instance_id"`
}

// AdoptionResult is how an Adoption ended.
type AdoptionResult struct {
	Proven bool           `json:"proven"`
	Cause  adoption.Cause `json:"cause,omitempty"` // why not
}

// Adoption finds out at EC2 whether an instance that an agent has named is the client's,
// and puts our tags on it when it is. While it is not, the operation says why and what
// repairs it, and EC2 is asked again, at once on a news signal and in growing pauses. It
// gives up after three days; a new registration or a request by a person opens it again.
func Adoption(ctx workflow.Context, in AdoptionInput) (*AdoptionResult, error) {
	op, err := newOperation(ctx, KindAdoption, in.AgentID)
	if err != nil {
		return nil, err
	}
	a := &adoptionRun{operation: op, in: in, since: workflow.Now(ctx)}
	steps.OnSignal(ctx, SignalNews, func() { a.news = true })
	return a.run(ctx)
}

type adoptionRun struct {
	*operation

	in    AdoptionInput
	since time.Time
	news  bool
	shown adoption.Cause // the cause that the operation shows
}

func (a *adoptionRun) run(ctx workflow.Context) (*AdoptionResult, error) {
	a.describe(activities.OperationProgress{Summary: "adoption of " + a.in.InstanceID, InstanceID: a.in.InstanceID})
	for wait := adoptionFirstWait; ; wait = min(2*wait, adoptionLastWait) {
		a.news = false
		found, err := a.ask(ctx)
		switch {
		case steps.IsCancellation(err):
			a.closeWithError(ctx, err, "adoption of "+a.in.InstanceID+" was called off", "")
			return nil, err
		case err != nil:
			found = activities.AdoptResult{Cause: adoption.Unanswered, Reason: steps.Sentence(err)}
		case found.Proven:
			a.addStep(ctx, "adopted", stepDone, "EC2 shows %s as the client's", a.in.InstanceID)
			a.closeRow(ctx, activities.OperationEnd{
				State:   stateSucceeded,
				Phase:   "adopted",
				Summary: a.in.InstanceID + " was adopted",
			})
			return &AdoptionResult{Proven: true}, nil
		case found.Over:
			a.closeRow(ctx, activities.OperationEnd{
				State:   stateCancelled,
				Phase:   "over",
				Summary: a.in.InstanceID + " plays no part any more",
			})
			return &AdoptionResult{}, nil
		case workflow.Now(ctx).Sub(a.since) >= adoptionFor:
			cause := adoption.NotProven.New("%s: %s.", found.Reason, found.Repair)
			a.closeWithError(ctx, cause, a.in.InstanceID+" is unproven: "+found.Reason, "")
			return &AdoptionResult{Cause: found.Cause}, nil
		}
		a.show(ctx, found)
		what := "ask EC2 about " + a.in.InstanceID + " again"
		if _, err := steps.AwaitKeepingTimer(ctx, wait, what, func() bool { return a.news }); err != nil {
			return nil, err
		}
	}
}

// ask asks EC2 once. An instance that is only starting is waited for, and then judged by
// its state.
func (a *adoptionRun) ask(ctx workflow.Context) (out activities.AdoptResult, err error) {
	var adoptions *activities.Adoptions
	what := "ask EC2 about " + a.in.InstanceID
	in := activities.AdoptInput{InstanceID: a.in.InstanceID}
	err = steps.RunActivity(ctx, steps.AdoptPolicy, what, adoptions.AdoptInstance, in).Get(ctx, &out)
	if err != nil && !steps.IsCancellation(err) && fault.KindOf(err).Retryable() {
		in.Last = true
		err = steps.RunActivity(ctx, steps.AdoptPolicy, what, adoptions.AdoptInstance, in).Get(ctx, &out)
	}
	return out, err
}

// show puts the reason onto the operation's page, once for each cause.
func (a *adoptionRun) show(ctx workflow.Context, found activities.AdoptResult) {
	if a.shown == found.Cause {
		return
	}
	a.shown = found.Cause
	detail := found.Reason
	if found.Repair != "" {
		detail += ": " + found.Repair
	}
	a.unsaved.Summary = a.in.InstanceID + " is unproven: " + found.Reason
	a.enterPhase(ctx, "unproven", "%s", detail)
}
