package agents

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/postgres/views"
	"spotkeeper/workflows"
)

// OursToLaunch means that a caller names an instance for a replica that the
// control plane launches itself.
var OursToLaunch = fault.Define("replica.launched_by_control_plane", fault.Conflict)

// ReplicaViews is the part of postgres.Views that replica routes read.
type ReplicaViews interface {
	Agent(ctx context.Context, clientID, id string) (*views.AgentView, error)
	AgentReplicas(ctx context.Context, clientID, agentID string, ended bool, p pg.Page) ([]views.ReplicaView, error)
	ClientReplicas(ctx context.Context, clientID string, p pg.Page) ([]views.ReplicaView, error)
	Replica(ctx context.Context, clientID, agentID, id string) (*views.ReplicaView, error)
	ReplicasToLaunch(ctx context.Context, clientID, agentID string) ([]views.ToLaunch, error)
	Pool(ctx context.Context, id string) (*views.PoolPriceView, error)
	Standing(ctx context.Context, agentID, instanceID string) (agent.Role, error)
	Proofs(ctx context.Context, agentID string) ([]views.ProofView, error)
}

// ReplicaStore keeps what agents report of replicas.
type ReplicaStore interface {
	// Advance is that of postgres.Roles.
	Advance(ctx context.Context, in roles.ReplicaTransition) (bool, error)
}

// SyncStore keeps how far a replica's state is copied.
type SyncStore interface {
	RecordSync(ctx context.Context, in postgres.SyncReport) error
}

// ReplicaWorkflows is the part of workflows.Client that replica routes use.
type ReplicaWorkflows interface {
	CreateReplica(
		ctx context.Context,
		agentID string,
		in workflows.CreateReplicaInput,
	) (*workflows.ReplicaAnswer, error)
	EmergencyReplica(ctx context.Context, agentID string, in workflows.EmergencyInput) (*workflows.ReplicaAnswer, error)
	TerminationNotice(ctx context.Context, agentID string, in workflows.NoticeInput) (*workflows.NoticeAnswer, error)
	Promote(ctx context.Context, agentID string, in workflows.PromoteInput) (*workflows.PromoteAnswer, error)
	DeleteReplica(
		ctx context.Context,
		agentID string,
		in workflows.DeleteReplicaInput,
	) (*workflows.ReplicaAnswer, error)
	ReplicaReport(ctx context.Context, in workflows.ReplicaReport) error
}

// Replicas serves an agent's standby instances, and the notices that need them.
type Replicas struct {
	Views     ReplicaViews
	Store     ReplicaStore
	Sync      SyncStore
	Notices   NoticeStore
	Aftercare Aftercare
	Workflows ReplicaWorkflows
	Now       func() time.Time
	// NoticeWait is how long a termination notice waits for its outcome.
	NoticeWait time.Duration
	// ReportWait is how long the report of a failure waits to be seen; 0: a second.
	ReportWait time.Duration
	// RebalanceHold is how long a replica made on a rebalance recommendation waits
	// for its notice; 0: as the rules say, two hours.
	RebalanceHold time.Duration
}

// Routes lists the endpoints.
func (r *Replicas) Routes() []web.Route {
	const list, one = "/api/agents/:agent_id/replicas", "/api/agents/:agent_id/replicas/:replica_id"
	return []web.Route{
		{
			Method:   http.MethodPost,
			Path:     list,
			ID:       "createReplica",
			Summary:  "Create the standby of manual mode, or report one that the agent launched",
			Auth:     web.Client,
			Launches: true,
			Old:      true,
			Status:   201,
			Event:    "replica_requested",
			Subject:  web.AgentSubject,
			Endpoint: web.NewEndpoint(r.create),
			Timeout:  web.GuardianTimeout,
		},
		{
			Method:   http.MethodGet,
			Path:     list,
			ID:       "listReplicas",
			Summary:  "List an agent's replicas, or with status=launching what the agent itself must launch",
			Auth:     web.Client,
			Old:      true,
			Own:      true,
			Status:   200,
			Endpoint: web.NewEndpoint(r.list),
			Quiet:    true,
		},
		{
			Method:   http.MethodGet,
			Path:     "/api/client/:client_id/replicas",
			ID:       "listClientReplicas",
			Summary:  "List the standbys of a client's agents",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(r.listOfClient),
		},
		{
			Method:   http.MethodPut,
			Path:     one,
			ID:       "bindReplica",
			Summary:  "Name the instance that the agent launched for a replica",
			Auth:     web.Client,
			Old:      true,
			Status:   200,
			Endpoint: web.NewEndpoint(r.bindInstance),
		},
		{
			Method:   http.MethodDelete,
			Path:     one,
			ID:       "deleteReplica",
			Summary:  "Retire a replica",
			Auth:     web.Client,
			Status:   200,
			Event:    "replica_removed",
			Subject:  web.AgentSubject,
			Endpoint: web.NewEndpoint(r.remove),
			Timeout:  web.GuardianTimeout,
		},
		{
			Method:   http.MethodPost,
			Path:     one + "/promote",
			ID:       "promoteReplica",
			Summary:  "Make a replica the primary",
			Auth:     web.Client,
			Status:   200,
			Event:    "replica_promotion_requested",
			Subject:  web.AgentSubject,
			Endpoint: web.NewEndpoint(r.promote),
			Timeout:  web.GuardianTimeout,
		},
		{
			Method:   http.MethodPost,
			Path:     one + "/status",
			ID:       "reportReplicaStatus",
			Summary:  "Report a replica's state",
			Auth:     web.Client,
			Old:      true,
			Status:   200,
			Endpoint: web.NewEndpoint(r.status),
			Timeout:  web.GuardianTimeout,
		},
		{
			Method:   http.MethodPost,
			Path:     one + "/sync-status",
			ID:       "reportReplicaSync",
			Summary:  "Report how far a replica's state is copied",
			Auth:     web.Client,
			Old:      true,
			Status:   200,
			Endpoint: web.NewEndpoint(r.syncStatus),
		},
		{
			Method:   http.MethodPost,
			Path:     "/api/agents/:agent_id/create-emergency-replica",
			ID:       "createEmergencyReplica",
			Summary:  "Ask for a replica because an instance is in danger",
			Auth:     web.Client,
			Old:      true,
			Status:   201,
			Endpoint: web.NewEndpoint(r.emergency),
			Timeout:  web.GuardianTimeout,
		},
		{
			Method:   http.MethodPost,
			Path:     "/api/agents/:agent_id/termination-imminent",
			ID:       "terminationImminent",
			Summary:  "Tell that an instance is about to end, and learn the outcome",
			Auth:     web.Client,
			Urgent:   true,
			Old:      true,
			Own:      true,
			Status:   200,
			Endpoint: web.NewEndpoint(r.terminationImminent),
			Timeout:  noticeTimeout,
		},
	}
}

// replicaPath names a replica of an agent.
type replicaPath struct {
	AgentID   string `json:"-" uri:"agent_id"`
	ReplicaID string `json:"-" uri:"replica_id"`
}

type listReplicasRequest struct {
	web.AgentPath
	web.Paging
	Status            string    `json:"-" form:"status" doc:"launching: only what the agent itself must launch; anything else is ignored"`
	IncludeTerminated *web.Bool `json:"-" form:"include_terminated" doc:"also those that have ended"`
	Limit             *int      `json:"-" form:"limit" binding:"omitempty,min=1,max=500" doc:"500 by default"`
}

type replicaList struct {
	Replicas []any `json:"replicas"`
	Total    int   `json:"total"`
}

// list answers status=launching with flat elements, each of which the deployed
// agent launches, and everything else with what pages show.
func (r *Replicas) list(ctx context.Context, in *listReplicasRequest) (*replicaList, error) {
	scope := web.TenantScope(ctx)
	if scope != "" {
		if _, err := r.Views.Agent(ctx, scope, in.AgentID); err != nil {
			return nil, err
		}
	}
	out := &replicaList{Replicas: []any{}}
	if in.Status == "launching" {
		found, err := r.Views.ReplicasToLaunch(ctx, scope, in.AgentID)
		if err != nil {
			return nil, err
		}
		for _, x := range found {
			out.Replicas = append(out.Replicas, toLaunch{
				ID:         x.ID,
				PoolID:     x.PoolID,
				AZ:         x.AZ,
				Status:     "launching",
				Type:       x.Kind.WireType(),
				CreatedAt:  web.TimeOf(x.CreatedAt),
				AgeSeconds: x.AgeSeconds,
			})
		}
	} else {
		found, err := r.Views.AgentReplicas(ctx, scope, in.AgentID, in.IncludeTerminated.Or(false),
			in.PageOf(web.ValueOr(in.Limit, web.MostListed)))
		found, err = web.FinishPage(&in.Paging, found, err, placeOfReplica)
		if err != nil {
			return nil, err
		}
		for _, x := range found {
			out.Replicas = append(out.Replicas, replicaOf(x))
		}
	}
	out.Total = len(out.Replicas)
	return out, nil
}

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

// bindInstance keeps the instance before it tells the workflow: what the agent launched
// must not be launched again because Temporal was away at that moment.
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
		return nil, OursToLaunch.New("The control plane launches this replica.").With("status", view.State.Wire())
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

// report passes on what an agent says of a replica. One that has ended hears
// nothing any more, and a promoted one has nothing to hear.
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
// longer than anybody waits, the report is acknowledged all the same.
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
	if err := r.Sync.RecordSync(ctx, postgres.SyncReport{
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
