package control

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/credentials"
	"spotkeeper/internal/postgres/agents"
	"spotkeeper/internal/postgres/views"
	"spotkeeper/workflows"
)

// SettingsViews is the part of postgres.Views that settings read.
type SettingsViews interface {
	Agent(ctx context.Context, clientID, id string) (*views.AgentView, error)
}

// SettingsStore keeps what people set.
type SettingsStore interface {
	ChangeAgent(ctx context.Context, clientID, agentID, actor, eventType string, in agents.AgentPreferences) error
}

// SettingsWorkflows is the part of workflows.Client that settings use.
type SettingsWorkflows interface {
	Configure(ctx context.Context, agentID string, in workflows.ConfigureInput) (*workflows.ConfigureAnswer, error)
	RemoveAgent(ctx context.Context, agentID string, in workflows.RemoveAgentInput) (*workflows.OperationAnswer, error)
}

// Settings serves what people set for one agent, its mode and its end.
type Settings struct {
	Views     SettingsViews
	Store     SettingsStore
	Workflows SettingsWorkflows
}

// Routes lists the endpoints.
func (s *Settings) Routes() []web.Route {
	const one = "/api/client/agents/:agent_id"
	return []web.Route{
		{
			Method:   http.MethodPost,
			Path:     one + "/toggle-enabled",
			ID:       "toggleAgent",
			Summary:  "Enable or disable an agent",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(s.toggle),
		},
		{
			Method:   http.MethodPost,
			Path:     one + "/settings",
			ID:       "changeAgentSettings",
			Summary:  "Change an agent's settings",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(s.changeSettings),
			Timeout:  web.GuardianTimeout,
		},
		{
			Method:   http.MethodPost,
			Path:     one + "/config",
			ID:       "configureAgent",
			Summary:  "Choose an agent's mode and how long old instances live on",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(s.configure),
			Timeout:  web.GuardianTimeout,
		},
		{
			Method:   http.MethodDelete,
			Path:     one,
			ID:       "deleteAgent",
			Summary:  "End an agent and what was launched for it",
			Auth:     web.Client,
			Scope:    credentials.Admin,
			Status:   200,
			Endpoint: web.NewEndpoint(s.remove),
			Timeout:  web.GuardianTimeout,
		},
	}
}

type toggleRequest struct {
	web.AgentPath
	Enabled *web.Bool `json:"enabled"`
}

func (s *Settings) toggle(ctx context.Context, in *toggleRequest) (*web.Success, error) {
	on := in.Enabled.Or(true)
	return web.Done, s.Store.ChangeAgent(ctx, web.TenantScope(ctx), in.AgentID, web.ActorName(ctx), "agent_toggled",
		agents.AgentPreferences{Enabled: &on})
}

type settingsRequest struct {
	web.AgentPath
	AutoSwitch     *web.Bool `json:"auto_switch_enabled"`
	AutoTerminate  *web.Bool `json:"auto_terminate_enabled"`
	ReplicaEnabled *web.Bool `json:"replica_enabled"`
	ReplicaCount   *int      `json:"replica_count" binding:"omitempty,min=0,max=10"`

	MinSavings      *float64 `json:"min_savings_percent" binding:"omitempty,min=0,max=100" doc:"what a voluntary move must save"`
	RiskThreshold   *float64 `json:"risk_threshold" binding:"omitempty,min=0,max=1" doc:"probability of being interrupted within a day that is accepted of a pool"`
	SwitchesPerWeek *int     `json:"max_switches_per_week" binding:"omitempty,min=0,max=1000"`
	SwitchesPerDay  *int     `json:"max_switches_per_day" binding:"omitempty,min=0,max=200"`
	MinPoolHours    *int     `json:"min_pool_duration_hours" binding:"omitempty,min=0,max=8760" doc:"how long an agent stays in a pool before it moves on by choice"`
}

func (s *Settings) changeSettings(ctx context.Context, in *settingsRequest) (*web.Success, error) {
	a, err := s.Views.Agent(ctx, web.TenantScope(ctx), in.AgentID)
	if err != nil {
		return nil, err
	}
	settings := agents.AgentPreferences{
		AutoTerminate:   web.BoolPtr(in.AutoTerminate),
		ReplicaEnabled:  web.BoolPtr(in.ReplicaEnabled),
		ReplicaCount:    in.ReplicaCount,
		MinSavings:      in.MinSavings,
		RiskThreshold:   in.RiskThreshold,
		SwitchesPerWeek: in.SwitchesPerWeek,
		SwitchesPerDay:  in.SwitchesPerDay,
		MinPoolHours:    in.MinPoolHours,
	}
	if err := s.Store.ChangeAgent(ctx, a.ClientID, a.ID, web.ActorName(ctx), "agent_settings_changed",
		settings); err != nil {
		return nil, err
	}
	_, err = s.setKeeping(ctx, a, in.AutoSwitch, nil)
	return web.Done, err
}

type modesRequest struct {
	web.AgentPath
	Minutes       *web.Text `json:"terminateWaitMinutes" doc:"how long the old instance lives on after a switch; 0: it is ended at once, if autoTerminateEnabled is on, and kept otherwise"`
	LegacyMinutes *web.Text `json:"terminate_wait_minutes" doc:"-"`
	AutoTerminate *web.Bool `json:"autoTerminateEnabled"`
	AutoSwitch    *web.Bool `json:"autoSwitchEnabled"`
	Manual        *web.Bool `json:"manualReplicaEnabled"`
}

type modesAnswer struct {
	Success bool `json:"success"`
	Auto    bool `json:"auto_switch_enabled"`
	Manual  bool `json:"manual_replica_enabled"`
}

// configure answers what is stored afterwards. The mode goes through the
// Guardian, which retires what the other mode kept.
func (s *Settings) configure(ctx context.Context, in *modesRequest) (*modesAnswer, error) {
	if in.AutoSwitch.Or(false) && in.Manual.Or(false) {
		return nil, agent.ModesExclude.New(
			"Auto-switch and manual replica mode exclude each other: turn on one of them")
	}
	seconds, err := minutesOf(in)
	if err != nil {
		return nil, err
	}
	a, err := s.Views.Agent(ctx, web.TenantScope(ctx), in.AgentID)
	if err != nil {
		return nil, err
	}
	if a.Status == agent.StatusDeleted {
		return nil, agent.NotFound.New("Agent not found")
	}
	if seconds != nil || in.AutoTerminate != nil {
		settings := agents.AgentPreferences{AutoTerminate: web.BoolPtr(in.AutoTerminate), TerminateWait: seconds}
		if err := s.Store.ChangeAgent(ctx, a.ClientID, a.ID, web.ActorName(ctx), "agent_settings_changed",
			settings); err != nil {
			return nil, err
		}
	}
	keeping, err := s.setKeeping(ctx, a, in.AutoSwitch, in.Manual)
	if err != nil {
		return nil, err
	}
	return &modesAnswer{Success: true, Auto: keeping == agent.KeepAuto, Manual: keeping == agent.KeepManual}, nil
}

// maxWaitMinutes is a week.
const maxWaitMinutes = 7 * 24 * 60

// minutesOf reads the waiting time, which forms send as a number or as text, in
// seconds; null when none was given.
func minutesOf(in *modesRequest) (*int, error) {
	given, name := in.Minutes, "terminateWaitMinutes"
	if given == nil {
		given, name = in.LegacyMinutes, "terminate_wait_minutes"
	}
	if given == nil {
		return nil, nil
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(string(*given)), 64)
	if err != nil || n != float64(int(n)) || n < 0 || n > maxWaitMinutes {
		sentence := "Must be a whole number of minutes from 0 to " + strconv.Itoa(maxWaitMinutes) + "."
		return nil, web.InvalidRequest.New("Validation failed: %s: %s", name, sentence).With("details",
			map[string][]string{name: {sentence}})
	}
	seconds := int(n) * 60
	return &seconds, nil
}

// setKeeping turns the two switches of a page into the one value they mean, and signals
// the Guardian if the value changed. Turning one on turns the other off; turning
// one off leaves the other.
func (s *Settings) setKeeping(ctx context.Context, a *views.AgentView, auto, manual *web.Bool) (agent.StandbyMode, error) {
	want := a.Keeping
	switch {
	case auto.Or(false):
		want = agent.KeepAuto
	case manual.Or(false):
		want = agent.KeepManual
	case auto != nil && a.Keeping == agent.KeepAuto, manual != nil && a.Keeping == agent.KeepManual:
		want = agent.KeepOff
	}
	if want == a.Keeping {
		return want, nil
	}
	answer, err := s.Workflows.Configure(ctx, a.ID, workflows.ConfigureInput{Keeping: want, By: web.ActorName(ctx)})
	if err != nil {
		return "", err
	}
	return answer.Keeping, nil
}

type removeAgentRequest struct {
	web.AgentPath
	web.OptionalBody
}

type removeAgentAnswer struct {
	Success   bool   `json:"success"`
	Message   string `json:"message"`
	AgentID   string `json:"agent_id"`
	Operation string `json:"operation_id,omitempty"`
}

// remove may be asked for again: an agent that is deleted already is success.
func (s *Settings) remove(ctx context.Context, in *removeAgentRequest) (*removeAgentAnswer, error) {
	a, err := s.Views.Agent(ctx, web.TenantScope(ctx), in.AgentID)
	if err != nil {
		return nil, err
	}
	out := &removeAgentAnswer{Success: true, Message: "Agent deleted successfully", AgentID: a.ID}
	if a.Status == agent.StatusDeleted {
		return out, nil
	}
	answer, err := s.Workflows.RemoveAgent(ctx, a.ID, workflows.RemoveAgentInput{By: web.ActorName(ctx)})
	if err != nil {
		return nil, err
	}
	out.Operation = answer.OperationID
	return out, nil
}
