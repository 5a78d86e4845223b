package control

import (
	"context"
	"net/http"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/postgres/agents"
)

// RequirementStore keeps the requirements of agents and clients.
type RequirementStore interface {
	Load(ctx context.Context, clientID, agentID string) (*agents.TypesOf, error)
	Set(ctx context.Context, clientID, agentID string, need replica.Requirements, by string) error
	LoadOfClient(ctx context.Context, clientID string) (replica.Requirements, error)
	SetOfClient(ctx context.Context, clientID string, need replica.Requirements, by string) error
}

// Requirements serves which instance types may replace an agent's.
// An agent has those of its client as far as it has none of its own.
type Requirements struct{ Store RequirementStore }

// Routes lists the endpoints.
func (r *Requirements) Routes() []web.Route {
	return []web.Route{
		{
			Method:   http.MethodGet,
			Path:     "/api/client/agents/:agent_id/requirements",
			ID:       "getRequirements",
			Summary:  "Which instance types may replace the agent's, and why not the others",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(r.get),
		},
		{
			Method:   http.MethodPut,
			Path:     "/api/client/agents/:agent_id/requirements",
			ID:       "setRequirements",
			Summary:  "Set which instance types may replace the agent's",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(r.set),
		},
		{
			Method:   http.MethodGet,
			Path:     "/api/client/:client_id/requirements",
			ID:       "getClientRequirements",
			Summary:  "Which instance types may replace those of the client's agents, as far as an agent does not say",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(r.getOfClient),
		},
		{
			Method:   http.MethodPut,
			Path:     "/api/client/:client_id/requirements",
			ID:       "setClientRequirements",
			Summary:  "Set which instance types may replace those of the client's agents; an agent's own say goes before",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(r.setOfClient),
		},
	}
}

type requirementsRequest struct {
	web.AgentPath
	requirementsBody
}

type clientRequirementsRequest struct {
	web.ClientPath
	requirementsBody
}

type requirementsBody struct {
	MinVCPUs     int      `json:"min_vcpus" doc:"by default those of the present type"`
	MaxVCPUs     int      `json:"max_vcpus" doc:"by default twice those of the present type"`
	MinMemoryMiB int      `json:"min_memory_mib" doc:"by default that of the present type"`
	MaxMemoryMiB int      `json:"max_memory_mib" doc:"by default twice that of the present type"`
	Architecture string   `json:"architecture" doc:"x86_64 or arm64; by default that of the image"`
	Burstable    *bool    `json:"burstable" doc:"by default as the present type"`
	Accelerators *int     `json:"accelerators" doc:"the least number; by default as the present type"`
	LocalStorage *bool    `json:"local_storage" doc:"by default as the present type"`
	Current      *bool    `json:"current_generation" doc:"by default as the present type"`
	Include      []string `json:"include" doc:"patterns of instance types such as m5.*; none: all"`
	Exclude      []string `json:"exclude" doc:"patterns of instance types"`
}

// read judges the form. Fails with replica.bad_requirements.
func (in *requirementsBody) read() (replica.Requirements, error) {
	need := replica.Requirements{
		MinVCPUs:     in.MinVCPUs,
		MaxVCPUs:     in.MaxVCPUs,
		MinMemoryMiB: in.MinMemoryMiB,
		MaxMemoryMiB: in.MaxMemoryMiB,
		Architecture: in.Architecture,
		Burstable:    in.Burstable,
		Accelerators: in.Accelerators,
		LocalStorage: in.LocalStorage,
		Current:      in.Current,
		Include:      in.Include,
		Exclude:      in.Exclude,
	}
	return need, need.Validate()
}

type typeAnswer struct {
	InstanceType string `json:"instance_type"`
	Fits         bool   `json:"fits"`
	Why          string `json:"why,omitempty" doc:"why it does not fit"`
}

type requirementsAnswer struct {
	InstanceType string               `json:"instance_type" doc:"the present one"`
	Requirements replica.Requirements `json:"requirements" doc:"as they were set"`
	Resolved     replica.Requirements `json:"resolved" doc:"with what follows from the present type"`
	Types        []typeAnswer         `json:"types" doc:"those that fit first"`
}

func (r *Requirements) get(ctx context.Context, in *web.AgentPath) (*requirementsAnswer, error) {
	of, err := r.Store.Load(ctx, web.TenantScope(ctx), in.AgentID)
	if err != nil {
		return nil, err
	}
	return describeTypes(of), nil
}

func (r *Requirements) set(ctx context.Context, in *requirementsRequest) (*requirementsAnswer, error) {
	need, err := in.read()
	if err != nil {
		return nil, err
	}
	if err := r.Store.Set(ctx, web.TenantScope(ctx), in.AgentID, need, web.ActorName(ctx)); err != nil {
		return nil, err
	}
	return r.get(ctx, &in.AgentPath)
}

// describeTypes says of each type of the region whether it may replace the present one.
func describeTypes(of *agents.TypesOf) *requirementsAnswer {
	out := &requirementsAnswer{
		InstanceType: of.Present,
		Requirements: of.Requirements,
		Types:        []typeAnswer{},
	}
	var known bool
	if out.Resolved, known = of.Resolve(); !known {
		return out // EC2 was not asked yet
	}
	for _, v := range out.Resolved.JudgeTypes(of.Types) {
		out.Types = append(out.Types, typeAnswer{InstanceType: v.Name, Fits: v.Fits(), Why: v.Why})
	}
	return out
}

type clientRequirementsAnswer struct {
	ClientID     string               `json:"client_id"`
	Requirements replica.Requirements `json:"requirements" doc:"as they were set; what is not given follows from each agent's present type"`
}

func (r *Requirements) getOfClient(ctx context.Context, in *web.ClientPath) (*clientRequirementsAnswer, error) {
	need, err := r.Store.LoadOfClient(ctx, in.ClientID)
	if err != nil {
		return nil, err
	}
	return &clientRequirementsAnswer{ClientID: in.ClientID, Requirements: need}, nil
}

func (r *Requirements) setOfClient(
	ctx context.Context,
	in *clientRequirementsRequest,
) (*clientRequirementsAnswer, error) {
	need, err := in.read()
	if err != nil {
		return nil, err
	}
	if err := r.Store.SetOfClient(ctx, in.ClientID, need, web.ActorName(ctx)); err != nil {
		return nil, err
	}
	return &clientRequirementsAnswer{ClientID: in.ClientID, Requirements: need}, nil
}
