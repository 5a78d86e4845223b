package web

import (
	"time"

	"spotkeeper/internal/domain/credentials"
)

// Route is one row of the API. The router, the OpenAPI document and the test of
// who may call what are all made from these rows.
type Route struct {
	Method, Path string // Path as gin writes it: /api/agents/:agent_id/config
	ID, Summary  string // operationId and summary of the OpenAPI operation
	Auth         Auth
	Status       int // of success, when the answer does not choose its own
	Endpoint     Endpoint
	Timeout      time.Duration // 0: quick
	MaxBody      int64         // bytes; 0: 1 MiB
	Quiet        bool          // success is logged at debug level: called all day long
	// Scope is what a tenant's credential needs; empty: read for a GET, else operate.
	Scope credentials.Scope
	Own   bool // an agent's own credential may call it: for the reports of one agent on one instance
	Old   bool // the deployed agents call it, although its class is not Agent
	// Urgent says that it is never answered with 429: an instance has two minutes.
	Urgent bool
	// Event is the type of the event that a success is told as, for changes that
	// no store makes: those that go to Temporal. Subject reads what the event tells
	// as before and after. What a store changes it tells in the same transaction.
	Event   string
	Subject auditSubject
}

// QuickTimeout is the deadline of a route that names none. It keeps the answer that a
// dependency is away within two seconds.
const QuickTimeout = 1900 * time.Millisecond

// maxBody is the size of body that a route reads when it names none.
const maxBody = 1 << 20

// GuardianTimeout is the deadline of a route that waits for a Guardian. Temporal being
// away is told at once; this is for one that is busy.
const GuardianTimeout = 15 * time.Second

// ProbeTimeout keeps /ready within two seconds when a dependency hangs.
const ProbeTimeout = 1500 * time.Millisecond
