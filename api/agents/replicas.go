package agents

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/postgres/agents"
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
	RoleOf(ctx context.Context, agentID, instanceID string) (agent.Role, error)
	Proofs(ctx context.Context, agentID string) ([]views.ProofView, error)
}

// ReplicaStore keeps what agents report of replicas.
type ReplicaStore interface {
	// Advance is that of postgres.Roles.
	Advance(ctx context.Context, in roles.ReplicaTransition) (bool, error)
}

// SyncStore keeps how far a replica's state is copied.
type SyncStore interface {
	RecordSync(ctx context.Context, in agents.SyncReport) error
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

// PromotionLock refuses a promotion that a person asks for when its instance is not ours.
type PromotionLock interface {
	// RequireOurs fails with instance.not_ours when EC2 does not show our tags and the
	// client's on the instance, and as reads do when EC2 does not answer.
	RequireOurs(ctx context.Context, agentID, instanceID string) error
}

// Replicas serves an agent's standby instances, and the notices that need them.
type Replicas struct {
	Views     ReplicaViews
	Store     ReplicaStore
	Sync      SyncStore
	Notices   NoticeStore
	Aftercare Aftercare
	// Lock asks EC2 whose an instance is before it is promoted. Nil: the row decides.
	Lock      PromotionLock
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
			Method:      http.MethodPost,
			Path:        "/api/agents/:agent_id/termination-imminent",
			ID:          "terminationImminent",
			Summary:     "Tell that an instance is about to end, and learn the outcome",
			Auth:        web.Client,
			Urgent:      true,
			Old:         true,
			Own:         true,
			Status:      200,
			Endpoint:    web.NewEndpoint(r.terminationImminent),
			Unavailable: reflect.TypeFor[snapshotWanted](),
			Timeout:     noticeTimeout,
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
