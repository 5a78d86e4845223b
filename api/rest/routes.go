package rest

import (
	"slices"
	"time"
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
	// Event is the type of the event that a success is told as, for changes that
	// no store makes: those that go to Temporal. Subject reads what the event tells
	// as before and after. What a store changes it tells in the same transaction.
	Event   string
	Subject auditSubject
	// Strict refuses parameters and members that the route does not read.
	Strict bool
}

// quick is the deadline of a route that names none. It keeps the answer that a
// dependency is away within two seconds.
const quick = 1900 * time.Millisecond

// maxBody is the size of body that a route reads when it names none.
const maxBody = 1 << 20

// Routes is the whole surface: literal paths win over parameters, and the order
// does not matter.
func (d Deps) Routes() []Route {
	return slices.Concat(
		d.healthRoutes(),
		d.Agents.Routes(),
		d.Commands.Routes(),
		d.Decisions.Routes(),
		d.Pricing.Routes(),
		d.validateRoutes(),
		d.loginRoutes(),
		d.docsRoutes(),
		d.Replicas.Routes(),
		strict(d.Operations.Routes()),
		d.Events.Routes(),
		d.Settings.Routes(),
		d.Accounts.Routes(),
		d.Switches.Routes(),
		d.ClientPages.Routes(),
		d.InstancePages.Routes(),
		d.AdminPages.Routes(),
		d.Notifications.Routes(),
		strict(d.Sinks.Routes()),
		strict(d.Schedules.Routes()),
		strict(d.Pauses.Routes()),
		d.Models.Routes(),
		strict(d.ModelRollouts.Routes()),
		strict(d.Console.Routes()),
		d.documentRoutes(),
	)
}
