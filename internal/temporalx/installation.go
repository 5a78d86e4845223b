package temporalx

import (
	"context"
	"errors"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"spotkeeper/internal/domain/fault"
)

// OtherInstallation means that the namespace belongs to another database.
var OtherInstallation = fault.Define("workflow.other_installation", fault.Internal)

// installation is a schedule that never runs: the one thing in a namespace that stays, that
// every API key may read, and that carries a memo.
const installation = "spotkeeper-installation"

// installed is the memo's key.
const installed = "installation"

// TieNamespace makes the namespace that of an installation, unless it is one's already. Fails with
// workflow.other_installation. A namespace that lost its state is tied anew. Memos are read
// by the client's own converter.
func TieNamespace(ctx context.Context, c client.Client, memos converter.DataConverter, namespace, queue, id string) error {
	_, err := c.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID:     installation,
		Paused: true,
		Note:   "Never runs. Its memo names the database that this namespace belongs to.",
		Memo:   map[string]any{installed: id},
		Action: &client.ScheduleWorkflowAction{ID: installation, Workflow: "Installation", TaskQueue: queue},
	})
	if err == nil || !isThere(err) {
		return err
	}
	return CheckTie(ctx, c, memos, namespace, id)
}

// CheckTie fails with workflow.other_installation when the namespace is that of another
// installation. One that no worker has tied yet is no failure.
func CheckTie(ctx context.Context, c client.Client, memos converter.DataConverter, namespace, id string) error {
	found, err := c.ScheduleClient().GetHandle(ctx, installation).Describe(ctx)
	if _, absent := errors.AsType[*serviceerror.NotFound](err); absent {
		return nil
	}
	if err != nil {
		return err
	}
	var of string
	payload := found.Memo.GetFields()[installed]
	if err := memos.FromPayload(payload, &of); err != nil {
		return err
	}
	if of == id {
		return nil
	}
	return OtherInstallation.New("The Temporal namespace %s belongs to installation %s, and the database to %s: correct DATABASE_URL or "+
		"TEMPORAL_NAMESPACE. If the other database is gone for good, delete the schedule %s.", namespace, of, id, installation)
}

// IsOther says whether err is workflow.other_installation.
func IsOther(err error) bool { return fault.Is(err, OtherInstallation) }
