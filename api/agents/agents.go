package agents

import (
	"context"
	"net/http"
	"time"

	"spotkeeper/activities"
	"spotkeeper/api/web"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/credentials"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/postgres/agents"
	"spotkeeper/workflows"
)

// AgentStore is the part of agents.Agents that agents' own routes use.
type AgentStore interface {
	Config(ctx context.Context, clientID, agentID string) (*agents.AgentConfig, error)
	Register(ctx context.Context, r agent.Registration) (*agents.Registered, error)
	Heartbeat(ctx context.Context, h agent.Heartbeat) (*agents.HeartbeatResult, error)
	TakeOver(ctx context.Context, agentID string, r agent.Registration) (agents.Takeover, error)
	Terminated(ctx context.Context, clientID, agentID, from, reason string) error
	RecordCleanup(ctx context.Context, c agents.Cleanup) error
	RecordHooks(ctx context.Context, in agents.HookResults) error
}

// AgentWorkflows is the part of workflows.Client that receives agents' reports.
type AgentWorkflows interface {
	ReplicaReport(ctx context.Context, in workflows.ReplicaReport) error
	Nudge(ctx context.Context, in activities.Nudge) error
	Wake(ctx context.Context, agentID, why string) error
}

// Agents serves agents' reports about themselves. A report is stored before any workflow
// is signalled, so agents keep working while Temporal is unavailable.
type Agents struct {
	Store       AgentStore
	Credentials CredentialStore
	Workflows   AgentWorkflows
	Joiner      *Joiner
}

// Routes lists the endpoints.
func (a *Agents) Routes() []web.Route {
	const one = "/api/agents/:agent_id"
	return append(append(a.joinRoutes(), a.proofRoutes()...), []web.Route{
		{
			Method:   http.MethodPost,
			Path:     "/api/agents/register",
			ID:       "registerAgent",
			Summary:  "Tell that an agent has started on an instance",
			Auth:     web.Agent,
			Own:      true,
			Status:   200,
			Endpoint: web.NewEndpoint(a.register),
		},
		{
			Method:   http.MethodPost,
			Path:     one + "/heartbeat",
			ID:       "heartbeat",
			Summary:  "Tell that an agent lives",
			Auth:     web.Agent,
			Own:      true,
			Status:   200,
			Endpoint: web.NewEndpoint(a.heartbeat),
			Quiet:    true,
		},
		{
			Method:   http.MethodGet,
			Path:     one + "/config",
			ID:       "agentConfig",
			Summary:  "Read an agent's configuration",
			Auth:     web.Agent,
			Own:      true,
			Status:   200,
			Endpoint: web.NewEndpoint(a.config),
			Quiet:    true,
		},
		{
			Method:   http.MethodGet,
			Path:     one + "/replica-config",
			ID:       "replicaConfig",
			Summary:  "Read an agent's replica settings",
			Auth:     web.Agent,
			Own:      true,
			Status:   200,
			Endpoint: web.NewEndpoint(a.replicaConfig),
			Quiet:    true,
		},
		{
			Method:   http.MethodPost,
			Path:     one + "/termination",
			ID:       "reportTermination",
			Summary:  "Tell that an agent says goodbye for good",
			Auth:     web.Agent,
			Own:      true,
			Status:   200,
			Endpoint: web.NewEndpoint(a.termination),
		},
		{
			Method:   http.MethodPost,
			Path:     one + "/cleanup-report",
			ID:       "reportCleanup",
			Summary:  "Tell what an agent cleaned up",
			Auth:     web.Agent,
			Own:      true,
			Status:   200,
			Endpoint: web.NewEndpoint(a.cleanup),
			Quiet:    true,
		},
		{
			Method:   http.MethodPost,
			Path:     one + "/hook-results",
			ID:       "reportHookResults",
			Summary:  "Report how hooks on an instance ended",
			Auth:     web.Agent,
			Own:      true,
			Status:   200,
			Endpoint: web.NewEndpoint(a.hookResults),
			Quiet:    true,
		},
	}...)
}

type registerRequest struct {
	web.LegacyValidation
	Hostname     string   `json:"hostname"         binding:"max=255"`
	LogicalID    string   `json:"logical_agent_id" binding:"required,max=255" text:"exact"`
	InstanceID   string   `json:"instance_id"      binding:"required,max=50"`
	InstanceType string   `json:"instance_type"    binding:"required,max=64"`
	Region       string   `json:"region"           binding:"required,max=32"`
	AZ           string   `json:"az"               binding:"required,max=32"`
	AMI          string   `json:"ami_id"           binding:"max=64"`
	Mode         web.Mode `json:"mode"             binding:"omitempty,oneof=spot ondemand unknown"`
	Version      string   `json:"agent_version"    binding:"max=32"`
	PrivateIP    string   `json:"private_ip"       binding:"max=45"`
	PublicIP     string   `json:"public_ip"        binding:"max=45" doc:"null when the instance has none"`
}

type registerAnswer struct {
	AgentID  string         `json:"agent_id"`
	ClientID string         `json:"client_id"`
	Config   registerConfig `json:"config"`
}

type registerConfig struct {
	Enabled            bool    `json:"enabled"`
	AutoSwitch         bool    `json:"auto_switch_enabled"`
	AutoTerminate      bool    `json:"auto_terminate_enabled"`
	TerminateWait      int     `json:"terminate_wait_seconds"`
	ReplicaEnabled     bool    `json:"replica_enabled"`
	ReplicaCount       int     `json:"replica_count"`
	MinSavingsPercent  float64 `json:"min_savings_percent"`
	RiskThreshold      float64 `json:"risk_threshold"`
	MaxSwitchesPerWeek int     `json:"max_switches_per_week"`
	MinPoolHours       int     `json:"min_pool_duration_hours"`
}

type configAnswer struct {
	registerConfig
	ManualReplica bool `json:"manual_replica_enabled"`
}

func registerConfigOf(c *agents.AgentConfig) registerConfig {
	return registerConfig{
		Enabled:            c.Enabled && c.Status != agent.StatusDeleted,
		AutoSwitch:         c.Keeping == agent.KeepAuto,
		AutoTerminate:      c.AutoTerminate,
		TerminateWait:      c.TerminateWait,
		ReplicaEnabled:     c.ReplicaEnabled,
		ReplicaCount:       c.ReplicaCount,
		MinSavingsPercent:  c.MinSavingsPercent,
		RiskThreshold:      c.RiskThreshold,
		MaxSwitchesPerWeek: c.MaxSwitchesPerWeek,
		MinPoolHours:       c.MinPoolHours,
	}
}

// register answers a deleted agent with a configuration that is disabled: its
// program stays quiet then, where a refusal would make it restart for ever.
func (a *Agents) register(ctx context.Context, in *registerRequest) (*registerAnswer, error) {
	p := web.PrincipalFrom(ctx)
	if p.LogicalID != "" && p.LogicalID != in.LogicalID {
		return nil, credentials.NotForThis.New("This token is for the agent %q only.", p.LogicalID)
	}
	return a.registerFor(ctx, p.ClientID, agent.Launcher(p.Launcher), in)
}

// registerFor registers an agent of a client, and signals the workflows that wait for it.
func (a *Agents) registerFor(
	ctx context.Context,
	clientID string,
	launcher agent.Launcher,
	in *registerRequest,
) (*registerAnswer, error) {
	got, err := a.Store.Register(ctx, agent.Registration{
		ClientID:     clientID,
		Launcher:     launcher,
		LogicalID:    in.LogicalID,
		Hostname:     in.Hostname,
		InstanceID:   in.InstanceID,
		InstanceType: in.InstanceType,
		Region:       in.Region,
		AZ:           in.AZ,
		AMI:          in.AMI,
		Mode:         agent.Mode(in.Mode),
		Version:      in.Version,
		PrivateIP:    agent.KnownFact(in.PrivateIP),
		PublicIP:     agent.KnownFact(in.PublicIP),
	})
	if err != nil {
		return nil, err
	}
	switch {
	case got.CommandID != "":
		a.sendBestEffort(ctx, got.AgentID, func(ctx context.Context) error {
			return a.Workflows.Nudge(ctx, activities.Nudge{
				OperationID: workflows.SwitchID(got.CommandID),
				AgentID:     got.AgentID,
				Start:       true,
				Launcher:    agent.ByAgent,
			})
		})
	case got.ReplicaID != "":
		a.sendBestEffort(ctx, got.AgentID, func(ctx context.Context) error {
			return a.Workflows.ReplicaReport(ctx, workflows.ReplicaReport{
				ReplicaID:  got.ReplicaID,
				InstanceID: in.InstanceID,
				Status:     "ready",
			})
		})
	case got.AwaitedBy != "":
		a.sendBestEffort(ctx, got.AgentID, func(ctx context.Context) error {
			return a.Workflows.Nudge(ctx, activities.Nudge{
				OperationID: got.AwaitedBy,
				AgentID:     got.AgentID,
			})
		})
	case got.Takeover.Done:
		a.reportTakeover(ctx, got.AgentID, in.InstanceID, got.Takeover)
	}
	return &registerAnswer{
		AgentID:  got.AgentID,
		ClientID: got.ClientID,
		Config:   registerConfigOf(&got.AgentConfig),
	}, nil
}

// signalTimeout bounds a signal to a workflow. What the signal announces is stored already.
const signalTimeout = time.Second

// sendBestEffort passes on what is durable already. A message that gets lost is no reason to
// refuse the agent, which would end itself or repeat the request for ever.
func (a *Agents) sendBestEffort(ctx context.Context, agentID string, message func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, signalTimeout)
	defer cancel()
	if err := message(ctx); err != nil {
		web.LoggerFrom(ctx).WarnContext(ctx, "a workflow was not told of a registration", "agent_id", agentID,
			"error", err)
	}
}

type heartbeatRequest struct {
	web.AgentPath
	Status     agent.Status `json:"status"        binding:"omitempty,oneof=online offline disabled switching error"`
	InstanceID string       `json:"instance_id"   binding:"max=64"`
	Type       string       `json:"instance_type" binding:"max=64"`
	AZ         string       `json:"az"            binding:"max=32"`
	Mode       web.Mode     `json:"mode"          binding:"omitempty,oneof=spot ondemand unknown"`
	Monitored  []string     `json:"monitored_instances" binding:"max=100,dive,max=64"`
}

// speaker is the instance that sent the request. Old programs name it only as the instance
// that they monitor.
func (r *heartbeatRequest) speaker() string {
	if r.InstanceID == "" && len(r.Monitored) == 1 {
		return r.Monitored[0]
	}
	return r.InstanceID
}

// heartbeat is the hot path: one statement, beside the one of authentication.
func (a *Agents) heartbeat(ctx context.Context, in *heartbeatRequest) (*heartbeatAnswer, error) {
	p := web.PrincipalFrom(ctx)
	if in.Status == "" {
		in.Status = agent.StatusOnline
	}
	h := agent.Heartbeat{
		AgentID: in.AgentID, ClientID: p.ClientID, InstanceID: in.speaker(), Status: in.Status,
		Type: in.Type, AZ: in.AZ, Mode: agent.Mode(in.Mode),
	}
	beat, err := a.Store.Heartbeat(ctx, h)
	if err != nil {
		return nil, err
	}
	if beat.Relation == agent.RelationOutside && beat.Lost && in.speaker() != "" && in.Status != agent.StatusOffline {
		err := a.followLostPrimary(ctx, in.AgentID, agent.Registration{
			ClientID: p.ClientID, InstanceID: in.speaker(), InstanceType: in.Type, AZ: in.AZ, Mode: agent.Mode(in.Mode),
		})
		if err != nil {
			return nil, err
		}
	}
	return a.answerHeartbeat(ctx), nil
}

// followLostPrimary lets an outside instance that reports for the agent take the place of a
// primary that is lost. An instance that has a role elsewhere is left there.
func (a *Agents) followLostPrimary(ctx context.Context, agentID string, r agent.Registration) error {
	took, err := a.Store.TakeOver(ctx, agentID, r)
	switch {
	case fault.Is(err, agents.InstanceInUse), fault.Is(err, agent.InstanceOfOtherTenant):
		return nil
	case err == nil && took.Done:
		a.reportTakeover(ctx, agentID, r.InstanceID, took)
	}
	return err
}

// reportTakeover reports to the workflows that still wait for an instance that theirs
// is not needed, and wakes the Guardian, which opens the replicas that the mode requires.
func (a *Agents) reportTakeover(ctx context.Context, agentID, instanceID string, took agents.Takeover) {
	for _, id := range took.Closed {
		a.sendBestEffort(ctx, agentID, func(ctx context.Context) error {
			err := a.Workflows.ReplicaReport(ctx, workflows.ReplicaReport{
				ReplicaID: id, Status: "terminated", Message: instanceID + " took the place of the lost primary",
			})
			if fault.Is(err, replica.NotFound) {
				return nil // its workflow has not begun, and finds the row closed
			}
			return err
		})
	}
	a.sendBestEffort(ctx, agentID, func(ctx context.Context) error {
		return a.Workflows.Wake(ctx, agentID, "another instance took over")
	})
}

func (a *Agents) config(ctx context.Context, in *web.AgentPath) (*configAnswer, error) {
	c, err := a.Store.Config(ctx, web.PrincipalFrom(ctx).ClientID, in.AgentID)
	if err != nil {
		return nil, err
	}
	return &configAnswer{registerConfig: registerConfigOf(c), ManualReplica: c.Keeping == agent.KeepManual}, nil
}

type replicaConfigAnswer struct {
	Enabled bool `json:"enabled"`
	Count   int  `json:"count"`
}

func (a *Agents) replicaConfig(ctx context.Context, in *web.AgentPath) (*replicaConfigAnswer, error) {
	c, err := a.Store.Config(ctx, web.PrincipalFrom(ctx).ClientID, in.AgentID)
	if err != nil {
		return nil, err
	}
	return &replicaConfigAnswer{Enabled: c.ReplicaEnabled, Count: c.ReplicaCount}, nil
}
