package agents

import (
	"cmp"
	"context"
	"encoding/json"
	"unicode/utf8"

	"spotkeeper/api/web"
	"spotkeeper/internal/postgres/agents"
)

type terminationReport struct {
	web.AgentPath
	Reason string `json:"reason"`
}

func (a *Agents) termination(ctx context.Context, in *terminationReport) (*web.Success, error) {
	p := web.PrincipalFrom(ctx)
	return web.Done, a.Store.Terminated(ctx, p.ClientID, in.AgentID, p.InstanceID,
		cmp.Or(shortened(in.Reason, 500), "Unknown"))
}

type cleanupRequest struct {
	web.AgentPath
	Timestamp *web.Time        `json:"timestamp"`
	Snapshots cleanedSnapshots `json:"snapshots"`
	AMIs      cleanedAMIs      `json:"amis"`
	Instances cleanedInstances `json:"instances"`
}

type cleanedInstances struct {
	Deleted []web.Text        `json:"deleted" doc:"instances that the agent terminated"`
	Failed  []json.RawMessage `json:"failed" doc:"ids, or objects with id and error"`
	Error   string            `json:"error"`
}

type cleanedSnapshots struct {
	Deleted []web.Text        `json:"deleted"`
	Failed  []json.RawMessage `json:"failed" doc:"ids, or objects with id and error"`
	Cutoff  *web.Time         `json:"cutoff_date"`
	Error   string            `json:"error"`
}

type cleanedAMIs struct {
	Deleted   []web.Text        `json:"deleted_amis"`
	Snapshots []web.Text        `json:"deleted_snapshots"`
	Failed    []json.RawMessage `json:"failed" doc:"ids, or objects with id and error"`
	Cutoff    *web.Time         `json:"cutoff_date"`
	Error     string            `json:"error"`
}

type cleanupAnswer struct {
	Success          bool   `json:"success"`
	Message          string `json:"message"`
	DeletedSnapshots int    `json:"deleted_snapshots"`
	DeletedAMIs      int    `json:"deleted_amis"`
	FailedCount      int    `json:"failed_count"`
}

func (a *Agents) cleanup(ctx context.Context, in *cleanupRequest) (*cleanupAnswer, error) {
	out := &cleanupAnswer{
		Success:          true,
		Message:          "Cleanup report recorded",
		DeletedSnapshots: len(in.Snapshots.Deleted),
		DeletedAMIs:      len(in.AMIs.Deleted),
		FailedCount:      len(in.Snapshots.Failed) + len(in.AMIs.Failed),
	}
	ended := make([]string, len(in.Instances.Deleted))
	for n, id := range in.Instances.Deleted {
		ended[n] = string(id)
	}
	err := a.Store.RecordCleanup(ctx, agents.Cleanup{
		ClientID:         web.PrincipalFrom(ctx).ClientID,
		AgentID:          in.AgentID,
		At:               in.Timestamp.OrZero(),
		DeletedSnapshots: out.DeletedSnapshots,
		DeletedAMIs:      out.DeletedAMIs,
		DeletedInstances: ended,
		Failed:           out.FailedCount,
		Details:          map[string]any{"snapshots": in.Snapshots, "amis": in.AMIs, "instances": in.Instances},
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// shortened keeps what a column holds of a text that only people read.
func shortened(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}
