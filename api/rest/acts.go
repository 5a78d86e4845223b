package rest

import (
	"context"
	"encoding/json"
	"time"

	"github.com/gin-gonic/gin"

	"spotkeeper/internal/postgres"
)

// ActStore is the part of postgres.Acts that tells what somebody did.
type ActStore interface {
	Tell(ctx context.Context, act postgres.Act) error
}

// tellWithin is how long an act may take to be told. It has happened by then, so
// it is told even to a caller that went away.
const tellWithin = 2 * time.Second

// tell records who had what done, and with which words.
func (a *Authenticator) tell(c *gin.Context, r Route, p Principal, body []byte) {
	if a.Acts == nil {
		return
	}
	act := postgres.Act{Type: r.Event, Actor: p.Actor(), ClientID: p.ClientID, AgentID: c.Param("agent_id"), Message: r.Summary, Metadata: map[string]any{}}
	for _, param := range c.Params {
		act.Metadata[param.Key] = param.Value
	}
	if len(body) > 0 && len(body) <= maxToldBody && json.Valid(body) {
		act.Metadata["asked"] = storable(body)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request.Context()), tellWithin)
	defer cancel()
	if err := a.Acts.Tell(ctx, act); err != nil {
		loggerOf(c).ErrorContext(ctx, "a change was not told as an event", "type", act.Type, "actor", act.Actor, "error", err)
	}
}

// maxToldBody is the most of a request that an event repeats.
const maxToldBody = 4 << 10
