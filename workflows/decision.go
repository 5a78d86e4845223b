package workflows

import (
	"context"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/engine"
	"spotkeeper/workflows/steps"
)

// judgeWithin is how long a caller waits for a worker's judgement.
const judgeWithin = 3 * time.Second

// Decision asks the worker's engine about one agent. The api runs no uploaded code, so
// it asks in this way. Nothing depends on its end: a caller that has no answer in time
// has the rules decide.
func Decision(ctx workflow.Context, in activities.JudgeInput) (*engine.Decision, error) {
	var decisions *activities.Decisions
	out := new(engine.Decision)
	err := steps.RunLocalWith(ctx, steps.JudgePolicy, "ask the engine of session "+in.SessionID,
		decisions.Judge, in).Get(ctx, out)
	return out, err
}

// Judge has a worker's engine judge one agent. Fails as activities.Decisions.Judge does,
// and with workflow.no_answer.
func (c *Client) Judge(ctx context.Context, in activities.JudgeInput) (*engine.Decision, error) {
	ctx, cancel := context.WithTimeout(ctx, judgeWithin)
	defer cancel()
	ctx, done := c.withHealthDeadline(ctx, judgeWithin)
	defer done()
	run, err := c.Temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                       DecisionID(uuid.NewString()),
		TaskQueue:                JobsQueue(c.Queue), // a notice has its own
		WorkflowExecutionTimeout: 2 * judgeWithin,
		StaticSummary:            "what the engine thinks of agent " + in.AgentID,
		TypedSearchAttributes:    attributes("", in.AgentID, c.nameOf(ctx, in.AgentID), ""),
	}, Decision, in)
	if err != nil {
		return nil, translateError(ctx, err)
	}
	out := new(engine.Decision)
	return out, translateError(ctx, run.Get(ctx, out))
}
