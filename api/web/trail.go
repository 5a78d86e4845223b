package web

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"spotkeeper/internal/domain/credentials"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/trail"
	"spotkeeper/internal/postgres/audit"
)

// trailRequest is what the trail says of a request and its caller.
func trailRequest(c *gin.Context, p Principal) trail.Request {
	out := trail.Request{
		TokenID:   p.CredentialID,
		Address:   c.ClientIP(),
		RequestID: c.Writer.Header().Get(requestKey),
	}
	switch {
	case p.Operator:
		out.ActorKind, out.ActorID, out.ActorRole = "operator", p.Name, string(p.Role)
	case p.Kind == credentials.Agent:
		out.ActorKind, out.ActorID = "agent", p.AgentID
	case p.ClientID != "":
		out.ActorKind, out.ActorID = "client", p.ClientID
	}
	return out
}

// withCaller adds the caller and its request to the context of what it does.
func withCaller(ctx context.Context, c *gin.Context, p Principal) context.Context {
	return trail.WithRequest(withPrincipal(ctx, p), trailRequest(c, p))
}

// AsCaller adds a caller whom a login has just made known.
func AsCaller(c *gin.Context, p Principal) context.Context {
	return withCaller(c.Request.Context(), c, p)
}

// changes says whether a person or a program changes something by the route. What agents
// report is in the events that follow from it.
func (r Route) changes() bool {
	return r.Method != http.MethodGet && (r.Auth == Admin || r.Auth == Client) && !r.Own && !r.Old
}

// recordIntent writes that an act is about to be asked of a workflow. An act of which
// that cannot be written is not asked.
func (a *auditedRequest) recordIntent(c *gin.Context, p Principal, body []byte) error {
	return a.audit.RecordOnTrail(c.Request.Context(), audit.TrailEntry{
		ClientID: p.ClientID,
		AgentID:  a.before.AgentID,
		Type:     a.route.Event,
		Outcome:  trail.Intent,
		Actor:    p.Actor(),
		Message:  a.route.Summary,
		Details:  requestDetails(c, body),
	})
}

// recordRefusal writes that a known caller was refused a change: it may not, the object is
// not its own, or the state forbids it.
func (a *Authenticator) recordRefusal(c *gin.Context, r Route, p Principal, body []byte, reason error) {
	if a.Audit == nil || !r.changes() || p.ClientID == "" && !p.Operator {
		return
	}
	outcome := trail.Refused
	switch fault.KindOf(reason) {
	case fault.Forbidden, fault.NotFound, fault.Conflict:
	case fault.Internal, fault.Unavailable, fault.Exhausted:
		if r.Event == "" {
			return // it was a transaction, and nothing of it is left
		}
		outcome = trail.Failed
	case fault.Invalid, fault.Unauthorized, fault.TooLarge, fault.Limited:
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(withCaller(c.Request.Context(), c, p)), auditTimeout)
	defer cancel()
	details := requestDetails(c, body)
	details["code"] = string(fault.CodeOf(reason))
	kind := r.Event
	if kind == "" {
		kind = r.ID
	}
	err := a.Audit.RecordOnTrail(ctx, audit.TrailEntry{
		ClientID: p.ClientID, Type: kind, Outcome: outcome, Actor: p.Actor(), Message: r.Summary, Details: details,
	})
	if err != nil {
		LoggerOf(c).ErrorContext(ctx, "a refusal is not on the trail", "route", c.FullPath(), "actor", p.Actor(),
			"error", err)
	}
}

// requestDetails are the parameters of a request and its body, without secrets.
func requestDetails(c *gin.Context, body []byte) map[string]any {
	out := map[string]any{}
	for _, param := range c.Params {
		out[param.Key] = strings.ToValidUTF8(strings.ReplaceAll(param.Value, "\x00", ""), "")
	}
	if asked := auditedBody(body); asked != nil {
		out["asked"] = asked
	}
	return out
}

// auditedBody is the body of a request as the trail repeats it; nil when it is too large
// or no JSON.
func auditedBody(body []byte) json.RawMessage {
	if len(body) == 0 || len(body) > maxAuditedBody || !json.Valid(body) {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return nil
	}
	body, err := json.Marshal(hideSecrets(v))
	if err != nil {
		return nil
	}
	return storable(body)
}

// hideSecrets replaces what may be a secret, wherever it is in a body.
func hideSecrets(v any) any {
	switch v := v.(type) {
	case []any:
		for n := range v {
			v[n] = hideSecrets(v[n])
		}
	case map[string]any:
		for name := range v {
			if isSecret(name) {
				v[name] = "***"
			} else {
				v[name] = hideSecrets(v[name])
			}
		}
	}
	return v
}

// isSecret says whether a member of a body may hold a secret.
func isSecret(name string) bool {
	name = strings.ToLower(name)
	for _, part := range []string{"token", "secret", "password", "user_data"} {
		if strings.Contains(name, part) && name != "legacy_token" {
			return true
		}
	}
	return false
}
