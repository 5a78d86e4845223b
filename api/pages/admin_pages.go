package pages

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"spotkeeper/api/web"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/postgres/views"
)

// AdminPageViews is the part of postgres.Views that operators' pages read.
type AdminPageViews interface {
	FleetStats(ctx context.Context) (*views.FleetStats, error)
	Clients(ctx context.Context, p pg.Page) ([]views.ClientView, error)
	Growth(ctx context.Context, days int) ([]views.GrowthView, error)
	Instances(ctx context.Context, f views.InstanceFilter) ([]views.InstanceView, error)
	AllAgents(ctx context.Context, status string, p pg.Page, most int) ([]views.AgentView, error)
	Activity(ctx context.Context, p pg.Page) ([]views.ActivityView, error)
}

// Database is the part of pg.DB that the health page uses.
type Database interface {
	Ping(ctx context.Context) error
	// Connections says how many of the pool are free, and how many there are.
	Connections() (free, size int)
}

// EngineStatus names the engine in use and its models.
type EngineStatus struct {
	Loaded  bool
	Type    string
	Version string
	Files   []EngineFile
	Models  ModelStatus
}

// ModelStatus is the state of uploaded models.
type ModelStatus struct {
	Loaded  bool
	Name    string
	Version string
	Active  []ActiveModel
	Files   []EngineFile
}

// EngineFile is an uploaded file.
type EngineFile struct {
	Name     string   `json:"name"`
	Size     int64    `json:"size"` // bytes
	Modified web.Time `json:"modified"`
}

// ActiveModel is a model in use.
type ActiveModel struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Active  bool   `json:"active"`
}

// AdminPages serve what operators see of all tenants.
type AdminPages struct {
	Views    AdminPageViews
	Database Database
	Engine   func(ctx context.Context) EngineStatus
	Now      func() time.Time
}

// What the legacy lists show at most.
const (
	mostClients  = 5000
	mostActivity = 50
)

// Routes lists the endpoints.
func (p *AdminPages) Routes() []web.Route {
	return []web.Route{
		{
			Method:   http.MethodGet,
			Path:     "/api/admin/stats",
			ID:       "getStats",
			Summary:  "Count over all tenants",
			Auth:     web.Admin,
			Status:   200,
			Endpoint: web.NewEndpoint(p.stats),
		},
		{
			Method:   http.MethodGet,
			Path:     "/api/admin/clients",
			ID:       "listClients",
			Summary:  "List the clients, newest first",
			Auth:     web.Admin,
			Status:   200,
			Endpoint: web.NewEndpoint(p.clients),
		},
		{
			Method:   http.MethodGet,
			Path:     "/api/admin/clients/growth",
			ID:       "getGrowth",
			Summary:  "Count the clients per day",
			Auth:     web.Admin,
			Status:   200,
			Endpoint: web.NewEndpoint(p.growth),
		},
		{
			Method:   http.MethodGet,
			Path:     "/api/admin/instances",
			ID:       "listInstances",
			Summary:  "List instances of all tenants, newest first",
			Auth:     web.Admin,
			Status:   200,
			Endpoint: web.NewEndpoint(p.instances),
		},
		{
			Method:   http.MethodGet,
			Path:     "/api/admin/agents",
			ID:       "listAgents",
			Summary:  "List agents of all tenants, newest heartbeat first",
			Auth:     web.Admin,
			Status:   200,
			Endpoint: web.NewEndpoint(p.agents),
		},
		{
			Method:   http.MethodGet,
			Path:     "/api/admin/activity",
			ID:       "listActivity",
			Summary:  "List what happened lately",
			Auth:     web.Admin,
			Status:   200,
			Endpoint: web.NewEndpoint(p.activity),
		},
		{
			Method:   http.MethodGet,
			Path:     "/api/admin/system-health",
			ID:       "getSystemHealth",
			Summary:  "Read how the service and its engine are",
			Auth:     web.Admin,
			Status:   200,
			Endpoint: web.NewEndpoint(p.health),
		},
	}
}

type statsAnswer struct {
	TotalAccounts  int     `json:"totalAccounts"`
	AgentsOnline   int     `json:"agentsOnline"`
	AgentsTotal    int     `json:"agentsTotal"`
	PoolsCovered   int     `json:"poolsCovered"`
	TotalSavings   float64 `json:"totalSavings"`
	TotalSwitches  int     `json:"totalSwitches"`
	ManualSwitches int     `json:"manualSwitches"`
	ModelSwitches  int     `json:"modelSwitches"`
	BackendHealth  string  `json:"backendHealth"`
	EngineLoaded   bool    `json:"decisionEngineLoaded"`
	ModelsLoaded   bool    `json:"mlModelsLoaded"`
}

func (p *AdminPages) stats(ctx context.Context, _ *web.None) (*statsAnswer, error) {
	s, err := p.Views.FleetStats(ctx)
	if err != nil {
		return nil, err
	}
	e := p.engine(ctx)
	return &statsAnswer{
		TotalAccounts:  s.TotalAccounts,
		AgentsOnline:   s.AgentsOnline,
		AgentsTotal:    s.AgentsTotal,
		PoolsCovered:   s.PoolsCovered,
		TotalSavings:   s.TotalSavings,
		TotalSwitches:  s.TotalSwitches,
		ManualSwitches: s.ManualSwitches,
		ModelSwitches:  s.ModelSwitches,
		BackendHealth:  web.ChooseWord(e.Loaded, "Healthy", "Decision Engine Not Loaded"),
		EngineLoaded:   e.Loaded,
		ModelsLoaded:   e.Models.Loaded,
	}, nil
}

// engine is the engine's status; the built-in rules unless another is named.
func (p *AdminPages) engine(ctx context.Context) EngineStatus {
	if p.Engine != nil {
		return p.Engine(ctx)
	}
	return EngineStatus{
		Loaded:  true,
		Type:    "rules",
		Version: "1",
		Models:  ModelStatus{Loaded: true, Name: "rules", Version: "1"},
	}
}

type clientsRequest struct {
	web.Paging
	Limit *int `json:"-" form:"limit" binding:"omitempty,min=1,max=5000" doc:"5000 by default"`
}

func (p *AdminPages) clients(ctx context.Context, in *clientsRequest) (*[]clientAnswer, error) {
	found, err := p.Views.Clients(ctx, in.PageOf(web.ValueOr(in.Limit, mostClients)))
	found, err = web.FinishPage(&in.Paging, found, err, func(c views.ClientView) pg.Cursor {
		return pg.Cursor{At: c.CreatedAt, ID: c.ID}
	})
	return web.MapRows(found, err, clientOf)
}

type growthRequest struct {
	Days string `json:"-" form:"days" doc:"1 to 365, 30 by default"`
}

type growthPoint struct {
	Date   string `json:"date"`
	Total  int    `json:"total"`
	Count  int    `json:"count"` // the same, as the page plots it
	New    int    `json:"new"`
	Active int    `json:"active"`
}

func (p *AdminPages) growth(ctx context.Context, in *growthRequest) (*[]growthPoint, error) {
	days, err := strconv.Atoi(in.Days)
	if err != nil {
		days = 30
	}
	found, err := p.Views.Growth(ctx, min(max(days, 1), 365))
	return web.MapRows(found, err, func(g views.GrowthView) growthPoint {
		return growthPoint{Date: g.Day, Total: g.Total, Count: g.Total, New: g.New, Active: g.Active}
	})
}

type activityAnswer struct {
	ID   int64    `json:"id"`
	Type string   `json:"type"`
	Text string   `json:"text"`
	Time web.Time `json:"time"`
}

type activityRequest struct {
	web.Paging
	Limit *int `json:"-" form:"limit" binding:"omitempty,min=1,max=500" doc:"50 by default"`
}

func (p *AdminPages) activity(ctx context.Context, in *activityRequest) (*[]activityAnswer, error) {
	found, err := p.Views.Activity(ctx, in.PageOf(web.ValueOr(in.Limit, mostActivity)))
	found, err = web.FinishPage(&in.Paging, found, err, func(a views.ActivityView) pg.Cursor {
		return pg.Cursor{At: a.CreatedAt, ID: strconv.FormatInt(a.ID, 10)}
	})
	return web.MapRows(found, err, func(a views.ActivityView) activityAnswer {
		kind := "event"
		switch a.Type {
		case "switch_completed", "manual_switch_requested":
			kind = "switch"
		case "agent_registered":
			kind = "agent"
		}
		return activityAnswer{ID: a.ID, Type: kind, Text: a.Message, Time: web.TimeOf(a.CreatedAt)}
	})
}

type systemHealth struct {
	APIStatus      string       `json:"apiStatus"`
	Database       string       `json:"database"`
	DecisionEngine string       `json:"decisionEngine"`
	ConnectionPool string       `json:"connectionPool"`
	Timestamp      web.Time     `json:"timestamp"`
	Models         modelHealth  `json:"modelStatus"`
	Engine         engineHealth `json:"decisionEngineStatus"`
}

type modelHealth struct {
	Loaded  bool          `json:"loaded"`
	Name    *string       `json:"name"`
	Version *string       `json:"version"`
	Count   int           `json:"filesUploaded"`
	Active  []ActiveModel `json:"activeModels"`
	Files   []EngineFile  `json:"files"`
}

type engineHealth struct {
	Loaded  bool         `json:"loaded"`
	Type    *string      `json:"type"`
	Version *string      `json:"version"`
	Count   int          `json:"filesUploaded"`
	Files   []EngineFile `json:"files"`
}

func (p *AdminPages) health(ctx context.Context, _ *web.None) (*systemHealth, error) {
	e := p.engine(ctx)
	free, size := p.Database.Connections()
	ping, cancel := context.WithTimeout(ctx, web.ProbeTimeout)
	defer cancel()
	return &systemHealth{
		APIStatus:      "Healthy",
		Database:       web.ChooseWord(p.Database.Ping(ping) == nil, "Connected", "Disconnected"),
		DecisionEngine: web.ChooseWord(e.Loaded, "Loaded", "Not Loaded"),
		ConnectionPool: fmt.Sprintf("%d/%d", free, size),
		Timestamp:      web.TimeOf(p.Now()),
		Models: modelHealth{
			Loaded:  e.Models.Loaded,
			Name:    web.NilIfEmpty(e.Models.Name),
			Version: web.NilIfEmpty(e.Models.Version),
			Count:   len(e.Models.Files),
			Active:  web.EmptyIfNil(e.Models.Active),
			Files:   web.EmptyIfNil(e.Models.Files),
		},
		Engine: engineHealth{
			Loaded:  e.Loaded,
			Type:    web.NilIfEmpty(e.Type),
			Version: web.NilIfEmpty(e.Version),
			Count:   len(e.Files),
			Files:   web.EmptyIfNil(e.Files),
		},
	}, nil
}
