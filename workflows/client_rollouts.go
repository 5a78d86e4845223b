package workflows

import (
	"context"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/workflows/rollout"
	"spotkeeper/workflows/steps"
)

// StartRollout starts the rollout of a session and answers when the session serves
// some agents, which for an immediate plan are all. Fails with what the
// validation refused, with mlmodel.busy and mlmodel.already_live, and with
// workflow.no_answer when the validation takes longer than the caller waits: the
// rollout continues.
func (c *Client) StartRollout(ctx context.Context, in rollout.Input) (*rollout.Progress, error) {
	ctx, done := c.withHealthDeadline(ctx, answerWithin)
	defer done()
	in.RequestID = uuid.NewString()
	opts := c.rolloutOptions(in.SessionID)
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		out := new(rollout.Progress)
		h, err := c.Temporal.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
			StartWorkflowOperation: c.Temporal.NewWithStartWorkflowOperation(opts, rollout.ModelRollout, in),
			UpdateOptions: client.UpdateWorkflowOptions{
				UpdateID:     in.RequestID,
				UpdateName:   rollout.UpdateBegin,
				Args:         []any{rollout.Command{By: in.By, RequestID: in.RequestID}},
				WaitForStage: client.WorkflowUpdateStageCompleted,
			},
		})
		if err == nil {
			err = h.Get(ctx, out)
		}
		switch {
		case err == nil:
			return out, nil
		case isPassing(err), isTimeout(ctx, err), fault.Is(translateError(ctx, err),
			steps.Ended): // the run before is about to end: the next one takes it
		default:
			return nil, translateError(ctx, err)
		}
		select {
		case <-ctx.Done():
			return nil, translateError(ctx, err)
		case <-time.After(wait):
		}
	}
}

// rolloutOptions gives the options under which a session's rollout is started.
func (c *Client) rolloutOptions(sessionID string) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{
		ID: ModelRolloutID(sessionID), TaskQueue: c.Queue, StaticSummary: "rollout of session " + sessionID,
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		WorkflowIDReusePolicy:    enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		TypedSearchAttributes:    attributes("", "", "", "rollout"),
	}
}

// SendRolloutCommand gives a rollout a command and answers when it is done. Fails with
// mlmodel.wrong_phase, and with operation.not_found when the rollout has ended or
// never was.
func (c *Client) SendRolloutCommand(ctx context.Context, sessionID, command, by string) (*rollout.Progress, error) {
	ctx, done := c.withHealthDeadline(ctx, answerWithin)
	defer done()
	h, err := c.Temporal.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID:   ModelRolloutID(sessionID),
		UpdateName:   command,
		Args:         []any{rollout.Command{By: by}},
		WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	out := new(rollout.Progress)
	if err == nil {
		err = h.Get(ctx, out)
	}
	if err != nil {
		return nil, translateError(ctx, err)
	}
	return out, nil
}

// RolloutState asks a rollout for its present state; one that has ended answers too,
// as long as Temporal keeps its history. Fails with operation.not_found.
func (c *Client) RolloutState(ctx context.Context, sessionID string) (*rollout.Progress, error) {
	ctx, done := c.withHealthDeadline(ctx, queryWithin)
	defer done()
	v, err := c.Temporal.QueryWorkflow(ctx, ModelRolloutID(sessionID), "", rollout.QueryProgress)
	if err != nil {
		return nil, translateError(ctx, err)
	}
	var p rollout.Progress
	if err := v.Get(&p); err != nil {
		return nil, err
	}
	return &p, nil
}

// NudgeRollout makes a rollout look at its guards, and whether it was
// superseded. It implements activities.RolloutDesk.
func (c *Client) NudgeRollout(ctx context.Context, sessionID string) error {
	return ignoreEnded(c.signal(ctx, ModelRolloutID(sessionID), rollout.SignalNudge, nil))
}

// ModelRolloutID is the id of the rollout of a session.
func ModelRolloutID(sessionID string) string { return "model-rollout/" + sessionID }
