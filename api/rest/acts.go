package rest

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"spotkeeper/internal/fault"
	"spotkeeper/internal/postgres"
	"spotkeeper/workflows"
)

// ActStore is the part of postgres.Acts that tells what somebody did, and how
// that which they did it to stands.
type ActStore interface {
	Tell(ctx context.Context, act postgres.Act) error
	Agent(ctx context.Context, id string) (postgres.Standing, error)
	Operation(ctx context.Context, id string) (postgres.Standing, error)
	Serving(ctx context.Context) (postgres.Standing, error)
}

// actSubject reads how that which an act changes stands.
type actSubject func(ctx context.Context, acts ActStore, c *gin.Context) (postgres.Standing, error)

func ofAgent(ctx context.Context, acts ActStore, c *gin.Context) (postgres.Standing, error) {
	return acts.Agent(ctx, c.Param("agent_id"))
}

func ofOperation(ctx context.Context, acts ActStore, c *gin.Context) (postgres.Standing, error) {
	return acts.Operation(ctx, strings.TrimSuffix(operationPath{c.Param("operation_id")}.id(), "/cancel"))
}

func ofServing(ctx context.Context, acts ActStore, _ *gin.Context) (postgres.Standing, error) {
	return acts.Serving(ctx)
}

// tellWithin is how long an act may take to be told. It has happened by then, so
// it is told even to a caller that went away.
const tellWithin = 2 * time.Second

// maxToldBody is the most of a request that an event repeats.
const maxToldBody = 4 << 10

// act is a request that is told as an event once it is done.
type act struct {
	route  Route
	acts   ActStore
	before postgres.Standing
}

// begin reads what the request is going to change. Nothing is done that could not
// be told: when the subject cannot be read now, that is the answer. It is null for
// a route whose change a store tells.
func (a *Authenticator) begin(c *gin.Context, r Route) (*act, error) {
	if r.Event == "" || a.Acts == nil {
		return nil, nil
	}
	out := &act{route: r, acts: a.Acts}
	var err error
	if out.before, err = r.Subject(c.Request.Context(), a.Acts, c); err != nil && !fault.KindOf(err).Retryable() {
		return out, nil // there is none: the handler says so in its own words
	}
	return out, err
}

// end tells who did what, with which words, what was and what is. What failed is
// not told, unless it may have been done all the same.
func (a *act) end(c *gin.Context, p Principal, body []byte, failed error) {
	if a == nil || failed != nil && !fault.Is(failed, workflows.NoAnswer) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request.Context()), tellWithin)
	defer cancel()
	log := loggerOf(c)
	after, err := a.route.Subject(ctx, a.acts, c)
	if err != nil {
		log.WarnContext(ctx, "what an act changed could not be read", "type", a.route.Event, "error", err)
	}
	told := postgres.Act{
		Type: a.route.Event, Actor: p.Actor(), ClientID: p.ClientID, AgentID: a.before.AgentID, Message: a.route.Summary,
		Metadata: map[string]any{"before": a.before.What, "after": after.What},
	}
	for _, param := range c.Params {
		told.Metadata[param.Key] = param.Value
	}
	if len(body) > 0 && len(body) <= maxToldBody && json.Valid(body) {
		told.Metadata["asked"] = storable(body)
	}
	if failed != nil {
		told.Metadata["outcome"] = "unknown: " + string(fault.CodeOf(failed))
	}
	if err := a.acts.Tell(ctx, told); err != nil {
		log.ErrorContext(ctx, "a change was not told as an event", "type", told.Type, "actor", told.Actor, "error", err)
	}
}
