package agents

import (
	"cmp"
	"context"
	"slices"
	"time"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/postgres/agents"
	"spotkeeper/internal/postgres/views"
	"spotkeeper/workflows"
)

type bindReplicaRequest struct {
	replicaPath
	web.OptionalBody
	InstanceID string  `json:"instance_id" binding:"max=64"`
	Status     *string `json:"status" binding:"omitempty,oneof=launching syncing ready failed"`
}

type bindReplicaAnswer struct {
	Success    bool   `json:"success"`
	ReplicaID  string `json:"replica_id"`
	InstanceID string `json:"instance_id"`
	Status     string `json:"status"`
}

// bindInstance stores the instance before it signals the workflow. Otherwise an instance
// that the agent launched while Temporal was unavailable would be launched a second time.
func (r *Replicas) bindInstance(ctx context.Context, in *bindReplicaRequest) (*bindReplicaAnswer, error) {
	if in.InstanceID == "" {
		return nil, web.InvalidRequest.New("instance_id is required")
	}
	status := "syncing"
	if in.Status != nil {
		status = *in.Status
	}
	view, err := r.Views.Replica(ctx, web.TenantScope(ctx), in.AgentID, in.ReplicaID)
	if err != nil {
		return nil, err
	}
	if view.Launcher != agent.ByAgent && (view.InstanceID == nil || *view.InstanceID != in.InstanceID) {
		return nil, OursToLaunch.New("The control plane launches this replica.").With("status", view.State.LegacyWord())
	}
	if view.State.IsOpen() && view.InstanceID == nil {
		if _, err := r.Store.Advance(ctx, roles.ReplicaTransition{
			ReplicaID:  view.ID,
			To:         replica.Launching,
			InstanceID: in.InstanceID,
		}); err != nil {
			return nil, err
		}
	} else if view.InstanceID != nil && *view.InstanceID != in.InstanceID {
		return nil, replica.OtherInstance.New("The replica lives on %s.", *view.InstanceID)
	}
	if err := r.report(ctx, view, in.InstanceID, status, ""); err != nil {
		return nil, err
	}
	return &bindReplicaAnswer{Success: true, ReplicaID: view.ID, InstanceID: in.InstanceID, Status: status}, nil
}

// report passes an agent's report on a replica to its workflow. Replicas that have ended
// or were promoted get no signal.
func (r *Replicas) report(ctx context.Context, view *views.ReplicaView, instanceID, status, message string) error {
	if !view.State.IsOpen() {
		return nil
	}
	return r.Workflows.ReplicaReport(ctx, workflows.ReplicaReport{
		ReplicaID:  view.ID,
		InstanceID: instanceID,
		Status:     status,
		Message:    message,
	})
}

type replicaStatusRequest struct {
	replicaPath
	web.OptionalBody
	State         web.Text  `json:"status"`
	SyncStarted   *web.Time `json:"sync_started_at"`
	SyncCompleted *web.Time `json:"sync_completed_at"`
	ErrorMessage  string    `json:"error_message" binding:"max=4000"`
}

type replicaStatusAnswer struct {
	Success   bool   `json:"success"`
	ReplicaID string `json:"replica_id"`
	State     string `json:"status"`
}

func (r *Replicas) status(ctx context.Context, in *replicaStatusRequest) (*replicaStatusAnswer, error) {
	if in.State == "" {
		return nil, web.InvalidRequest.New("status is required")
	}
	if !slices.Contains([]string{"launching", "syncing", "ready", "failed", "terminated"}, string(in.State)) {
		return nil, web.InvalidRequest.New("Invalid status")
	}
	view, err := r.Views.Replica(ctx, web.TenantScope(ctx), in.AgentID, in.ReplicaID)
	if err != nil {
		return nil, err
	}
	instanceID := ""
	if view.InstanceID != nil {
		instanceID = *view.InstanceID
	}
	over := in.State == "failed" || in.State == "terminated"
	if over && view.State.IsOpen() && view.Launcher != agent.ByAgent && instanceID == "" {
		// Ours to launch, and given up before there is anything that could fail.
		if _, err := r.Workflows.DeleteReplica(ctx, view.AgentID,
			workflows.DeleteReplicaInput{ReplicaID: view.ID, By: web.ActorName(ctx)}); err != nil {
			return nil, err
		}
	} else if err := r.report(ctx, view, instanceID, string(in.State), in.ErrorMessage); err != nil {
		return nil, err
	} else if over {
		r.awaitReportSeen(ctx, view)
	}
	return &replicaStatusAnswer{Success: true, ReplicaID: view.ID, State: string(in.State)}, nil
}

// awaitReportSeen waits until Postgres shows that a replica was given up, so that who asks
// next does not find it open. Its workflow has the report, so when that takes
// longer than a caller waits, the report is acknowledged all the same.
func (r *Replicas) awaitReportSeen(ctx context.Context, view *views.ReplicaView) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(r.ReportWait, time.Second))
	defer cancel()
	for wait := 10 * time.Millisecond; view.State.IsOpen(); wait = min(2*wait, 100*time.Millisecond) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		var err error
		if view, err = r.Views.Replica(ctx, view.ClientID, view.AgentID, view.ID); err != nil {
			return
		}
	}
}

type syncRequest struct {
	replicaPath
	web.OptionalBody
	SyncStatus *string  `json:"sync_status" binding:"omitempty,oneof=initializing syncing synced out-of-sync"`
	Latency    *int     `json:"sync_latency_ms" binding:"omitempty,min=0,max=86400000"`
	Progress   *float64 `json:"state_transfer_progress" binding:"omitempty,min=0,max=100"`
	State      *string  `json:"status" binding:"omitempty,oneof=launching syncing ready failed terminated"`
}

func (r *Replicas) syncStatus(ctx context.Context, in *syncRequest) (*web.MessageAnswer, error) {
	view, err := r.Views.Replica(ctx, web.TenantScope(ctx), in.AgentID, in.ReplicaID)
	if err != nil {
		return nil, err
	}
	if err := r.Sync.RecordSync(ctx, agents.SyncReport{
		ReplicaID: view.ID,
		Status:    in.SyncStatus,
		LatencyMS: in.Latency,
		Progress:  in.Progress,
	}); err != nil {
		return nil, err
	}
	said := ""
	if in.State != nil {
		said = *in.State
	}
	if in.Progress != nil && *in.Progress >= 100 {
		said = "ready"
	}
	if said != "" && view.InstanceID != nil {
		if err := r.report(ctx, view, *view.InstanceID, said, ""); err != nil {
			return nil, err
		}
	}
	return &web.MessageAnswer{Success: true, Message: "Sync status updated"}, nil
}
