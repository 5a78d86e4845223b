package workflows

import (
	"context"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/workflows/steps"
)

// OperationState asks one operation for its present state, by its id. One that has
// ended answers too, as long as Temporal keeps its history. Fails with
// operation.not_found.
func (c *Client) OperationState(ctx context.Context, operationID string) (*Progress, error) {
	if operationKind(operationID) == "" {
		return nil, NoOperation.New("there is no operation %s", operationID)
	}
	ctx, done := c.withHealthDeadline(ctx, queryWithin)
	defer done()
	v, err := c.Temporal.QueryWorkflow(ctx, operationID, "", QueryProgress)
	if err != nil {
		return nil, translateError(ctx, err)
	}
	var p Progress
	if err := v.Get(&p); err != nil {
		return nil, err
	}
	return &p, nil
}

// GuardianState asks an agent's Guardian for its state. An agent at rest has
// none: that is operation.not_found.
func (c *Client) GuardianState(ctx context.Context, agentID string) (*GuardianState, error) {
	ctx, done := c.withHealthDeadline(ctx, queryWithin)
	defer done()
	v, err := c.Temporal.QueryWorkflow(ctx, GuardianID(agentID), "", QueryState)
	if err != nil {
		return nil, translateError(ctx, err)
	}
	var s GuardianState
	if err := v.Get(&s); err != nil {
		return nil, err
	}
	return &s, nil
}

// CancelOperation calls an operation off: what it launched is ended again. Fails
// with operation.not_found, with operation.ended, and with operation.committed
// when it is past its point of no return, as a failover is from its start.
func (c *Client) CancelOperation(ctx context.Context, operationID, by string) error {
	switch operationKind(operationID) {
	case "":
		return NoOperation.New("there is no operation %s", operationID)
	case KindTermination, KindRemoval:
		return Committed.New("%s cannot be called off", operationID).With("operation_id", operationID)
	}
	ctx, done := c.withHealthDeadline(ctx, answerWithin)
	defer done()
	h, err := c.Temporal.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID:   operationID,
		UpdateName:   UpdateCancel,
		Args:         []any{CancelInput{By: by}},
		WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err == nil {
		err = h.Get(ctx, nil)
	}
	err = translateError(ctx, err)
	if fault.Is(err, NoOperation) && c.hasEnded(ctx, operationID) {
		return steps.Ended.Wrap(err, "%s has ended already", operationID).With("operation_id", operationID)
	}
	return err
}

// hasEnded says whether the operation existed and is closed.
func (c *Client) hasEnded(ctx context.Context, operationID string) bool {
	d, err := c.Temporal.DescribeWorkflowExecution(ctx, operationID, "")
	return err == nil && d.GetWorkflowExecutionInfo().GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING
}
