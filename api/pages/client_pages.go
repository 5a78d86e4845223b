package pages

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/postgres/views"
)

// ClientPageViews is the part of postgres.Views that a client's pages read.
type ClientPageViews interface {
	Client(ctx context.Context, id string) (*views.ClientView, error)
	ClientAgents(ctx context.Context, clientID string, p pg.Page) ([]views.ClientAgent, error)
	AgentHistory(ctx context.Context, clientID string, p pg.Page) ([]views.AgentView, error)
	AgentDecisions(ctx context.Context, clientID string, p pg.Page) ([]views.AgentDecisions, error)
	Instances(ctx context.Context, f views.InstanceFilter) ([]views.InstanceView, error)
	SavingsLines(ctx context.Context, clientID string, since time.Time) ([]views.SavingsLine, error)
	SavingsByMonth(ctx context.Context, clientID string, months int) ([]views.MonthView, error)
	SwitchHistory(ctx context.Context, clientID, instanceID string, p pg.Page) ([]views.SwitchView, error)
	ModeDistribution(ctx context.Context, clientID string) ([]views.NamedCount, error)
	SwitchFrequency(ctx context.Context, clientID string) ([]views.NamedCount, error)
	ReportedPrices(ctx context.Context, clientID string) ([]views.ReportedPrice, error)
}

// ClientPages serve what a tenant sees of its fleet. The route's class has made
// sure that it is the tenant's own.
type ClientPages struct {
	Views ClientPageViews
	Now   func() time.Time
}

// Routes lists the endpoints.
func (p *ClientPages) Routes() []web.Route {
	const one = "/api/client/:client_id"
	return []web.Route{
		{
			Method:   http.MethodGet,
			Path:     one,
			ID:       "getClient",
			Summary:  "Read a client with its counts",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(p.client),
		},
		{
			Method:   http.MethodGet,
			Path:     one + "/agents",
			ID:       "listClientAgents",
			Summary:  "List a client's agents, newest heartbeat first",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(p.agents),
		},
		{
			Method:   http.MethodGet,
			Path:     one + "/agents/decisions",
			ID:       "listAgentDecisions",
			Summary:  "List what each agent decided and reported lately",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(p.decisions),
		},
		{
			Method:   http.MethodGet,
			Path:     one + "/agents/history",
			ID:       "listAgentHistory",
			Summary:  "List all agents a client ever had",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(p.history),
		},
		{
			Method:   http.MethodGet,
			Path:     one + "/instances",
			ID:       "listClientInstances",
			Summary:  "List a client's instances, newest first",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(p.instances),
		},
		{
			Method:   http.MethodGet,
			Path:     one + "/savings",
			ID:       "listSavings",
			Summary:  "List what a client saved per month",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(p.savings),
		},
		{
			Method:   http.MethodGet,
			Path:     one + "/savings.csv",
			ID:       "exportSavings",
			Summary:  "Export what a client saved, line by line, as CSV; the sums are the months' figures",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewStream[savingsExportRequest, web.Table](p.exportSavings),
		},
		{
			Method:   http.MethodGet,
			Path:     one + "/switch-history",
			ID:       "listSwitches",
			Summary:  "List a client's switches, newest first",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(p.switches),
		},
		{
			Method:   http.MethodGet,
			Path:     one + "/stats/charts",
			ID:       "getCharts",
			Summary:  "Read the figures of a client's charts",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(p.charts),
		},
		{
			Method:   http.MethodGet,
			Path:     one + "/reported-prices",
			ID:       "listReportedPrices",
			Summary:  "List what a client's agents report of prices beside what EC2 shows",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(p.reportedPrices),
		},
	}
}

type clientAnswer struct {
	ID           string    `json:"id"`
	Name         string    `json:"name"`
	Status       string    `json:"status"`
	AgentsOnline int       `json:"agentsOnline"`
	AgentsTotal  int       `json:"agentsTotal"`
	Instances    int       `json:"instances"`
	TotalSavings float64   `json:"totalSavings"`
	LastSync     *web.Time `json:"lastSync"`
}

func clientOf(c views.ClientView) clientAnswer {
	return clientAnswer{
		ID:           c.ID,
		Name:         c.Name,
		Status:       c.Status,
		AgentsOnline: c.AgentsOnline,
		AgentsTotal:  c.AgentsTotal,
		Instances:    c.Instances,
		TotalSavings: c.TotalSavings,
		LastSync:     web.NewTime(c.LastSync),
	}
}

func (p *ClientPages) client(ctx context.Context, in *web.ClientPath) (*clientAnswer, error) {
	c, err := p.Views.Client(ctx, in.ClientID)
	if err != nil {
		return nil, err
	}
	out := clientOf(*c)
	return &out, nil
}

type clientAgent struct {
	ID             string    `json:"id"`
	LogicalAgentID string    `json:"logicalAgentId"`
	InstanceID     *string   `json:"instanceId"`
	InstanceType   *string   `json:"instanceType"`
	Region         *string   `json:"region"`
	AZ             *string   `json:"az"`
	Mode           *string   `json:"currentMode"`
	Status         string    `json:"status"`
	LastHeartbeat  *web.Time `json:"lastHeartbeat"`
	Enabled        bool      `json:"enabled"`
	AutoSwitch     bool      `json:"autoSwitchEnabled"`
	Manual         bool      `json:"manualReplicaEnabled"`
}

func clientAgentOf(a views.AgentView) clientAgent {
	return clientAgent{
		ID:             a.ID,
		LogicalAgentID: a.LogicalAgentID,
		InstanceID:     a.InstanceID,
		InstanceType:   a.InstanceType,
		Region:         a.Region,
		AZ:             a.AZ,
		Mode:           a.Mode,
		Status:         string(a.Status),
		LastHeartbeat:  web.NewTime(a.LastHeartbeat),
		Enabled:        a.Enabled,
		AutoSwitch:     a.Keeping == agent.KeepAuto,
		Manual:         a.Keeping == agent.KeepManual,
	}
}

type presentAgent struct {
	clientAgent
	InstanceCount int    `json:"instanceCount"`
	AutoTerminate bool   `json:"autoTerminateEnabled"`
	WaitMinutes   int    `json:"terminateWaitMinutes"`
	Version       string `json:"agentVersion"`
}

// placeOfAgent is where an agent stands in the pages of its client's agents.
func placeOfAgent(a views.AgentView) pg.Cursor { return pg.Cursor{ID: a.LogicalAgentID} }

func (p *ClientPages) agents(ctx context.Context, in *web.ClientListRequest) (*web.Written[[]presentAgent], error) {
	found, err := p.Views.ClientAgents(ctx, in.ClientID, in.Page())
	found, err = web.FinishPage(&in.Paging, found,
		err, func(a views.ClientAgent) pg.Cursor { return pg.Cursor{ID: a.LogicalAgentID} })
	if err != nil {
		return nil, err
	}
	return web.FinishAnswer[[]presentAgent](web.AppendList(make([]byte, 0, 64+448*len(found)), found, appendAgent)), nil
}

// appendAgent appends a presentAgent.
func appendAgent(b []byte, a *views.ClientAgent) []byte {
	b = web.AppendText(append(b, `{"id":`...), a.ID)
	b = web.AppendText(append(b, `,"logicalAgentId":`...), a.LogicalAgentID)
	if i := a.Primary; i == nil {
		b = append(b, `,"instanceId":null,"instanceType":null,"region":null,"az":null,"currentMode":null`...)
	} else {
		b = web.AppendText(append(b, `,"instanceId":`...), i.ID)
		b = web.AppendText(append(b, `,"instanceType":`...), i.InstanceType)
		b = web.AppendText(append(b, `,"region":`...), i.Region)
		b = web.AppendText(append(b, `,"az":`...), i.AZ)
		b = web.AppendText(append(b, `,"currentMode":`...), i.Mode)
	}
	b = web.AppendText(append(b, `,"status":`...), string(a.Status))
	b = web.AppendTime(append(b, `,"lastHeartbeat":`...), a.LastHeartbeat)
	b = strconv.AppendBool(append(b, `,"enabled":`...), a.Enabled)
	b = strconv.AppendBool(append(b, `,"autoSwitchEnabled":`...), a.Keeping == agent.KeepAuto)
	b = strconv.AppendBool(append(b, `,"manualReplicaEnabled":`...), a.Keeping == agent.KeepManual)
	b = strconv.AppendInt(append(b, `,"instanceCount":`...), int64(a.InstanceCount), 10)
	b = strconv.AppendBool(append(b, `,"autoTerminateEnabled":`...), a.AutoTerminate)
	b = strconv.AppendInt(append(b, `,"terminateWaitMinutes":`...), int64(a.TerminateWait/60), 10)
	b = web.AppendText(append(b, `,"agentVersion":`...), a.AgentVersion)
	return append(b, '}')
}

type pastAgent struct {
	clientAgent
	CreatedAt    web.Time  `json:"createdAt"`
	UpdatedAt    web.Time  `json:"updatedAt"`
	InstalledAt  *web.Time `json:"installedAt"`
	TerminatedAt *web.Time `json:"terminatedAt"`
}

func (p *ClientPages) history(ctx context.Context, in *web.ClientListRequest) (*[]pastAgent, error) {
	found, err := p.Views.AgentHistory(ctx, in.ClientID, in.Page())
	found, err = web.FinishPage(&in.Paging, found, err, placeOfAgent)
	return web.MapRows(found, err, func(a views.AgentView) pastAgent {
		return pastAgent{
			clientAgent:  clientAgentOf(a),
			CreatedAt:    web.TimeOf(a.CreatedAt),
			UpdatedAt:    web.TimeOf(a.UpdatedAt),
			InstalledAt:  web.NewTime(a.InstalledAt),
			TerminatedAt: web.NewTime(a.TerminatedAt),
		}
	})
}

type clientInstancesRequest struct {
	web.ClientPath
	web.Paging
	Status string `json:"-" form:"status" doc:"active or terminated; anything else is all"`
	Mode   string `json:"-" form:"mode" doc:"spot or ondemand; empty or all is all"`
	Search string `json:"-" form:"search" binding:"max=255" doc:"a part of the id or the type"`
	Limit  *int   `json:"-" form:"limit" binding:"omitempty,min=1,max=5000"`
}

type clientInstance struct {
	ID            string    `json:"id"`
	Type          string    `json:"type"`
	Region        string    `json:"region"`
	AZ            string    `json:"az"`
	Mode          string    `json:"mode"`
	PoolID        string    `json:"poolId"`
	SpotPrice     float64   `json:"spotPrice"`
	OnDemandPrice float64   `json:"onDemandPrice"`
	IsActive      bool      `json:"isActive"`
	LastSwitch    *web.Time `json:"lastSwitch"`
	Proof         string    `json:"proof" doc:"launched, adopted or unproven"`
	Unproven      *string   `json:"unproven" doc:"why nothing at EC2 is done for it, and what repairs that"`
}

func (p *ClientPages) instances(ctx context.Context, in *clientInstancesRequest) (*[]clientInstance, error) {
	f := views.InstanceFilter{
		ClientID: in.ClientID,
		Status:   in.Status,
		Mode:     in.Mode,
		Search:   in.Search,
		Page:     in.PageOf(web.ValueOr(in.Limit, 5000)),
	}
	if f.Mode == "all" {
		f.Mode = ""
	}
	found, err := p.Views.Instances(ctx, f)
	found, err = web.FinishPage(&in.Paging, found, err, placeOfInstance)
	return web.MapRows(found, err, func(i views.InstanceView) clientInstance {
		pool := "n/a"
		if id := spotPool(i.Mode, i.PoolID); id != nil {
			pool = *id
		}
		return clientInstance{
			ID:            i.ID,
			Type:          i.InstanceType,
			Region:        i.Region,
			AZ:            i.AZ,
			Mode:          i.Mode,
			PoolID:        pool,
			SpotPrice:     web.ValueOr(i.SpotPrice, 0),
			OnDemandPrice: web.ValueOr(i.OnDemandPrice, 0),
			IsActive:      i.Active,
			LastSwitch:    web.NewTime(i.LastSwitch),
			Proof:         i.Proof,
			Unproven:      i.Unproven,
		}
	})
}

func placeOfInstance(i views.InstanceView) pg.Cursor {
	return pg.Cursor{At: i.CreatedAt, ID: i.ID}
}
