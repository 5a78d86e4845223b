package web

import (
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"spotkeeper/internal/domain/credentials"
	"spotkeeper/internal/domain/operators"
)

// EventStream is the media type of server-sent events.
const EventStream = "text/event-stream"

// Route is one row of the API. The router, the OpenAPI document and the test of
// who may call what are all made from these rows.
type Route struct {
	Method, Path string // Path as gin writes it: /api/agents/:agent_id/config
	// DocPath is the path in the document where it differs: an operation's id takes the rest
	// of the path in the router, because it contains slashes, and is one escaped segment there.
	DocPath     string
	ID, Summary string // operationId and summary of the OpenAPI operation
	Auth        Auth
	Status      int // of success, when the answer does not choose its own
	Endpoint    Endpoint
	Timeout     time.Duration // 0: quick
	MaxBody     int64         // bytes; 0: 1 MiB
	MediaType   string        // of the answer where its type does not say it: EventStream
	Quiet       bool          // success is logged at debug level: called all day long
	// Scope is what a tenant's credential needs; empty: read for a GET, else operate.
	Scope credentials.Scope
	// Role is the least role of an operator who may call it; empty: see LeastRole.
	Role     operators.Role
	Own      bool // an agent's own credential may call it: for the reports of one agent on one instance
	Old      bool // the deployed agents call it, although its class is not Agent
	Recorded bool // a GET whose every read is recorded with its reader: it is shared with no other
	// Urgent says that it is never answered with 429: an instance has two minutes.
	Urgent   bool
	Counted  RequestClass // empty: by its class and method
	Launches bool         // it may have an instance launched because the client asks for it
	// Event is the type of the audit event that a success writes, for changes that
	// no store makes: those that go to Temporal. Subject reads the event's state before
	// and after. A store writes the event of its own change in the same transaction.
	Event   string
	Subject auditSubject
	// Unavailable is the body of a 503 that has members of its own; nil: it has none.
	Unavailable reflect.Type
	// Strict refuses parameters and members that the route does not read.
	Strict bool
}

// LeastRole is the least role of an operator who may call the route; empty where
// operators are not asked for. A viewer reads. A change of what a client owns needs an
// operator, or an admin where a tenant's token needs that scope; what is for operators
// alone needs an admin unless its row says less.
func (r Route) LeastRole() operators.Role {
	switch {
	case r.Auth != Admin && r.Auth != Client:
		return ""
	case r.Role != "":
		return r.Role
	case r.Method == http.MethodGet:
		return operators.Viewer
	case r.Auth == Admin || r.Scope == credentials.Admin:
		return operators.Admin
	default:
		return operators.Operator
	}
}

// IsOfAgents says whether programs on instances call the route. What they report is not
// refused for a character that is not shown: it is replaced.
func (r Route) IsOfAgents() bool { return r.Auth == Agent || r.Auth == Joining || r.Own || r.Old }

// MayCall lists the ids of the changes that the caller of a request may ask for, and of the
// reads that are not for every caller, for pages that leave the others out.
func MayCall(c *gin.Context) []string {
	all, _ := c.Value(surfaceKey).([]Route)
	p := PrincipalFrom(c.Request.Context())
	may := []string{}
	for _, r := range all {
		if (r.Method != http.MethodGet || r.Role != "") && r.isFor(p) {
			may = append(may, r.ID)
		}
	}
	slices.Sort(may)
	return may
}

// isFor says whether a caller may call the route for something of its own.
func (r Route) isFor(p Principal) bool {
	if p.Operator {
		return r.LeastRole() != "" && p.Role.Includes(r.LeastRole())
	}
	found := credentials.StoredCredential{Kind: p.Kind, Scope: p.Allowed, LegacyMode: credentials.LegacyAll}
	return r.Auth == Client && found.Allows(r.use()) == nil
}

// QuickTimeout is the deadline of a route that names none. It keeps the answer that a
// dependency is away within two seconds.
const QuickTimeout = 1900 * time.Millisecond

// maxBody is the size of body that a route reads when it names none.
const maxBody = 1 << 20

// GuardianTimeout is the deadline of a route that waits for a Guardian. An unavailable
// Temporal is reported at once; this deadline is for a Guardian that is busy.
const GuardianTimeout = 15 * time.Second

// ProbeTimeout keeps /ready within two seconds when a dependency hangs.
const ProbeTimeout = 1500 * time.Millisecond
