package pages

import (
	"context"
	"net/http"
	"time"

	"spotkeeper/api/web"
	"spotkeeper/internal/postgres/views"
)

// ConsoleViews is the part of views.Views that the console's routes read.
type ConsoleViews interface {
	Overview(ctx context.Context, clientID string) (*views.Overview, error)
	InterruptionsLastDay(ctx context.Context, clientID string) ([]views.PoolInterruptions, error)
	Notices(ctx context.Context, f views.NoticeFilter) ([]views.NoticeView, error)
	Fleet(ctx context.Context, f views.FleetFilter) ([]views.FleetView, error)
	FleetSize(ctx context.Context, f views.FleetFilter) (int, error)
	Pools(ctx context.Context, f views.PoolFilter) ([]views.PoolView, error)
	Pool(ctx context.Context, id string) (*views.PoolPriceView, error)
	OnDemandPrice(ctx context.Context, instanceType, region string) (float64, error)
	RecentPrices(ctx context.Context, instanceType, region string, since time.Time) ([]views.PoolPrice, error)
	PoolMarks(ctx context.Context, clientID, instanceType, region string, since time.Time) ([]views.PoolMark, error)
	EventLog(ctx context.Context, f views.EventFilter) ([]views.EventView, error)
	EventAfter(ctx context.Context, f views.EventFilter, n int) (int64, error)
	Search(ctx context.Context, clientID, text string, limit int) ([]views.FoundView, error)
	Failovers(ctx context.Context, clientID string, since time.Time) ([]views.FailoverView, error)
	DecisionRuns(ctx context.Context, since time.Time) ([]views.DecisionRun, error)
	Judged(ctx context.Context, clientID string, since time.Time) ([]views.JudgedView, error)
	Vetoes(ctx context.Context, clientID string, since time.Time) ([]views.VetoView, error)
	DecidingEngines(ctx context.Context, clientID string, since time.Time) ([]views.EngineView, error)
	SavingsOf(ctx context.Context, clientID string, months int) ([]views.SavingsView, error)
	TagKeys(ctx context.Context, clientID string) ([]views.TagKeyView, error)
	SavingsByTag(ctx context.Context, clientID, tag string, months int) ([]views.TagMonthView, error)
	LaunchDescription(ctx context.Context, clientID, agentID string) (*views.DescriptionView, error)
	EventQueues(ctx context.Context) ([]views.QueueView, error)
}

// Console serves what the web console reads beside the lists that other pages have too.
// Everything that is read here is also of use to programs; an operator reads all
// clients, a tenant its own.
type Console struct {
	Views  ConsoleViews
	Events *Events
	About  About
	Now    func() time.Time
}

// About is a process's description of itself.
type About struct {
	Started     time.Time
	Open        bool   // operators need no login here
	TemporalUI  string // address of the Temporal UI; empty: not known
	Namespace   string // of Temporal
	ConsolePath string // where the console is served
}

// Routes lists the endpoints.
func (c *Console) Routes() []web.Route {
	return []web.Route{
		{
			Method:   http.MethodGet,
			Path:     "/api/session",
			ID:       "getSession",
			Summary:  "Say who asks, and what that caller may see",
			Auth:     web.Client,
			Status:   200,
			Timeout:  web.QuickTimeout,
			Quiet:    true,
			Endpoint: web.NewStream[web.None, callerAnswer](c.session),
		},
		{
			Method:   http.MethodGet,
			Path:     "/api/version",
			ID:       "getVersion",
			Summary:  "Read the version of the process that answers, and where its Temporal UI is",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(c.version),
		},
		{
			Method:   http.MethodGet,
			Path:     "/api/overview",
			ID:       "getOverview",
			Summary:  "Read the fleet in figures as it stands now",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(c.overview),
		},
		{
			Method:   http.MethodGet,
			Path:     "/api/notices",
			ID:       "listNotices",
			Summary:  "List interruption notices, newest first",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(c.notices),
		},
		{
			Method:   http.MethodGet,
			Path:     "/api/fleet",
			ID:       "listFleet",
			Summary:  "List agents with where they live, what that costs and what stands by",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(c.fleet),
		},
		{
			Method:   http.MethodGet,
			Path:     "/api/pools",
			ID:       "listPools",
			Summary:  "List spot pools with prices, interruptions, refused launches and our instances",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(c.pools),
		},
		{
			Method:   http.MethodGet,
			Path:     "/api/pools/:pool_id/prices",
			ID:       "getPoolPrices",
			Summary:  "Read the prices of a pool and its rivals, with what happened in them",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(c.poolPrices),
		},
		{
			Method:   http.MethodGet,
			Path:     "/api/failovers",
			ID:       "listFailovers",
			Summary:  "Read how long failovers took against the two minutes of a notice, overall and by client",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(c.failovers),
		},
		{
			Method:   http.MethodGet,
			Path:     "/api/decisions",
			ID:       "summarizeDecisions",
			Summary:  "Read what engines decided: moves, what held them back, and shadows against the live engine",
			Auth:     web.Client,
			Status:   200,
			Timeout:  10 * time.Second,
			Endpoint: web.NewEndpoint(c.judged),
		},
		{
			Method:   http.MethodGet,
			Path:     "/api/events",
			ID:       "listEvents",
			Summary:  "List what happened and who asked for it, newest first",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(c.events),
		},
		{
			Method:   http.MethodGet,
			Path:     "/api/events.csv",
			ID:       "exportEvents",
			Summary:  "Read what happened and who asked for it as a table, newest first",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewStream[exportEventsRequest, web.Table](c.exportEvents),
		},
		{
			Method:   http.MethodGet,
			Path:     "/api/search",
			ID:       "search",
			Summary:  "Find agents, instances, operations and clients",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(c.search),
		},
		{
			Method:   http.MethodGet,
			Path:     "/api/savings",
			ID:       "listSavingsByMonth",
			Summary:  "List what months cost and saved, and what standbys were of it",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(c.savings),
		},
		{
			Method:   http.MethodGet,
			Path:     "/api/savings/by-tag",
			ID:       "listSavingsByTag",
			Summary:  "List what months cost and saved by the values of a tag of the agents' instances",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(c.savingsByTag),
		},
		{
			Method:   http.MethodGet,
			Path:     "/api/client/agents/:agent_id/description",
			ID:       "getLaunchDescription",
			Summary:  "Read what a replacement of the agent's instance is launched with, and what it would lack",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(c.description),
		},
		{
			Method:   http.MethodGet,
			Path:     "/api/admin/event-queues",
			ID:       "listEventQueues",
			Summary:  "List the queues of AWS's events as each worker sees them",
			Auth:     web.Admin,
			Status:   200,
			Endpoint: web.NewEndpoint(c.eventQueues),
		},
		{
			Method:   http.MethodGet,
			Path:     "/api/admin/components",
			ID:       "listComponents",
			Summary:  "List the modules that the program is built of, with where their licences are",
			Auth:     web.Admin,
			Status:   200,
			Endpoint: web.NewEndpoint(c.components),
		},
		{
			Method:    http.MethodGet,
			Path:      "/api/admin/events",
			ID:        "streamAllEvents",
			Summary:   "Follow operations, notices and changes of roles of all clients as server-sent events",
			Auth:      web.Admin,
			Status:    200,
			MediaType: web.EventStream,
			Endpoint:  web.NewStream[allEventsRequest, eventAnswer](c.followAll),
		},
	}
}

// ownClient is the client that a list is about: the caller's own, or for an operator
// the one that was asked for.
func ownClient(ctx context.Context, asked string) string {
	if scope := web.TenantScope(ctx); scope != "" {
		return scope
	}
	return asked
}
