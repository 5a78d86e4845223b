package rest

import (
	"context"
	"net/http"
	"time"

	"spotkeeper/internal/postgres"
)

// ConsoleViews is the part of postgres.Views that the console's routes read.
type ConsoleViews interface {
	Overview(ctx context.Context, clientID string) (*postgres.Overview, error)
	InterruptionsLastDay(ctx context.Context, clientID string) ([]postgres.PoolInterruptions, error)
	Notices(ctx context.Context, f postgres.NoticeFilter) ([]postgres.NoticeView, error)
	Fleet(ctx context.Context, f postgres.FleetFilter) ([]postgres.FleetView, error)
	FleetSize(ctx context.Context, f postgres.FleetFilter) (int, error)
	Pools(ctx context.Context, f postgres.PoolFilter) ([]postgres.PoolView, error)
	Pool(ctx context.Context, id string) (*postgres.PoolPriceView, error)
	OnDemandPrice(ctx context.Context, instanceType, region string) (float64, error)
	RecentPrices(ctx context.Context, instanceType, region string, since time.Time) ([]postgres.PoolPrice, error)
	PoolMarks(ctx context.Context, clientID, instanceType, region string, since time.Time) ([]postgres.PoolMark, error)
	EventLog(ctx context.Context, f postgres.EventFilter) ([]postgres.EventView, error)
	Search(ctx context.Context, clientID, text string, limit int) ([]postgres.FoundView, error)
	SavingsOf(ctx context.Context, clientID string, months int) ([]postgres.SavingsView, error)
}

// Console serves what the web console reads beside the lists that other pages have too.
// Everything that is read here is also of use to programs; an operator reads all
// clients, a tenant its own.
type Console struct {
	Views      ConsoleViews
	Pauses     *Pauses
	Operations *Operations
	Events     *Events
	Audit      AuditStore
	About      About
	Now        func() time.Time
}

// About is what a process says of itself.
type About struct {
	Started     time.Time
	Open        bool   // operators need no login here
	TemporalUI  string // address of the Temporal UI; empty: not known
	Namespace   string // of Temporal
	ConsolePath string // where the console is served
}

// Routes lists the endpoints.
func (c *Console) Routes() []Route {
	return []Route{
		{
			Method: http.MethodGet, Path: "/api/session", ID: "getSession", Summary: "Say who asks, and what that caller may see",
			Auth: Client, Status: 200, Timeout: quick, Quiet: true, Endpoint: streamEndpoint[none, callerAnswer](c.session),
		},
		{
			Method: http.MethodGet, Path: "/api/version", ID: "getVersion", Summary: "Read the version of the process that answers, and where its Temporal UI is",
			Auth: Client, Status: 200, Endpoint: endpoint(c.version),
		},
		{
			Method: http.MethodGet, Path: "/api/overview", ID: "getOverview", Summary: "Read the fleet in figures as it stands now",
			Auth: Client, Status: 200, Endpoint: endpoint(c.overview),
		},
		{
			Method: http.MethodGet, Path: "/api/notices", ID: "listNotices", Summary: "List interruption notices, newest first",
			Auth: Client, Status: 200, Endpoint: endpoint(c.notices),
		},
		{
			Method: http.MethodGet, Path: "/api/fleet", ID: "listFleet", Summary: "List agents with where they live, what that costs and what stands by",
			Auth: Client, Status: 200, Endpoint: endpoint(c.fleet),
		},
		{
			Method: http.MethodPost, Path: "/api/fleet/pause", ID: "pauseAgents", Summary: "Pause the voluntary moves of several agents",
			Auth: Client, Status: 200, Timeout: patience, Endpoint: endpoint(c.pauseAgents),
		},
		{
			Method: http.MethodPost, Path: "/api/fleet/resume", ID: "resumeAgents", Summary: "Lift the pauses of several agents",
			Auth: Client, Status: 200, Timeout: patience, Endpoint: endpoint(c.resumeAgents),
		},
		{
			Method: http.MethodPost, Path: "/api/fleet/cancel", ID: "cancelOperations", Summary: "Call several operations off",
			Auth: Client, Status: 200, Timeout: patience, Endpoint: endpoint(c.cancelOperations),
		},
		{
			Method: http.MethodGet, Path: "/api/pools", ID: "listPools", Summary: "List spot pools with prices, interruptions, refused launches and our instances",
			Auth: Client, Status: 200, Endpoint: endpoint(c.pools),
		},
		{
			Method: http.MethodGet, Path: "/api/pools/:pool_id/prices", ID: "getPoolPrices", Summary: "Read the prices of a pool and its rivals, with what happened in them",
			Auth: Client, Status: 200, Endpoint: endpoint(c.poolPrices),
		},
		{
			Method: http.MethodGet, Path: "/api/events", ID: "listEvents", Summary: "List what happened and who asked for it, newest first",
			Auth: Client, Status: 200, Endpoint: endpoint(c.events),
		},
		{
			Method: http.MethodGet, Path: "/api/search", ID: "search", Summary: "Find agents, instances, operations and clients",
			Auth: Client, Status: 200, Endpoint: endpoint(c.search),
		},
		{
			Method: http.MethodGet, Path: "/api/savings", ID: "listSavingsByMonth", Summary: "List what months cost and saved, and what standbys were of it",
			Auth: Client, Status: 200, Endpoint: endpoint(c.savings),
		},
		{
			Method: http.MethodGet, Path: "/api/admin/events", ID: "streamAllEvents",
			Summary: "Follow operations, notices and changes of roles of all clients as server-sent events",
			Auth:    Admin, Status: 200, Endpoint: streamEndpoint[allEventsRequest, eventAnswer](c.followAll),
		},
	}
}

// ownClient is the client that a list is about: the caller's own, or for an operator
// the one that was asked for.
func ownClient(ctx context.Context, asked string) string {
	if scope := tenantScope(ctx); scope != "" {
		return scope
	}
	return asked
}

// ExactTime is a time of an answer with its milliseconds, in RFC 3339 and UTC.
type ExactTime struct{ time.Time }

// MarshalJSON implements json.Marshaler.
func (t ExactTime) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	return []byte(`"` + t.UTC().Format("2006-01-02T15:04:05.000Z07:00") + `"`), nil
}

func newExactTime(at *time.Time) *ExactTime {
	if at == nil || at.IsZero() {
		return nil
	}
	return &ExactTime{*at}
}

// millisecondsBetween is null while either end is missing.
func millisecondsBetween(from time.Time, to *time.Time) *int64 {
	if to == nil || from.IsZero() {
		return nil
	}
	ms := to.Sub(from).Milliseconds()
	return &ms
}
