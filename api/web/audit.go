package web

import (
	"context"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/postgres/audit"
	"spotkeeper/workflows"
)

// AuditStore records audit entries, and reads the state of what they are about. It is
// the part of audit.Log that requests use.
type AuditStore interface {
	Record(ctx context.Context, entry audit.Entry) error
	Agent(ctx context.Context, id string) (audit.Snapshot, error)
	Operation(ctx context.Context, id string) (audit.Snapshot, error)
	Serving(ctx context.Context) (audit.Snapshot, error)
	// RecordOnTrail writes an act that is no event: one that is intended or was refused.
	RecordOnTrail(ctx context.Context, e audit.TrailEntry) error
}

// auditSubject reads the state of the object that a request changes.
type auditSubject func(ctx context.Context, audit AuditStore, c *gin.Context) (audit.Snapshot, error)

// AgentSubject reads the agent of the path.
func AgentSubject(ctx context.Context, audit AuditStore, c *gin.Context) (audit.Snapshot, error) {
	return audit.Agent(ctx, c.Param("agent_id"))
}

// OperationSubject reads the operation of the path.
func OperationSubject(ctx context.Context, audit AuditStore, c *gin.Context) (audit.Snapshot, error) {
	return audit.Operation(ctx, strings.TrimSuffix(OperationPath{c.Param("operation_id")}.ID(), "/cancel"))
}

// ServingSubject reads which models decide.
func ServingSubject(ctx context.Context, audit AuditStore, _ *gin.Context) (audit.Snapshot, error) {
	return audit.Serving(ctx)
}

// auditTimeout bounds the recording of an audit entry. The change has been made by
// then, so the entry is recorded even when the caller has gone.
const auditTimeout = 2 * time.Second

// maxAuditedBody is the size in bytes up to which an audit entry repeats the body of
// its request.
const maxAuditedBody = 4 << 10

// auditedRequest is a request that leaves an audit entry once it is done.
type auditedRequest struct {
	route  Route
	audit  AuditStore
	before audit.Snapshot
}

// beginAudit reads the state of what the request is going to change. A change that
// could not be audited is refused: when the state cannot be read, that error is the
// answer. The result is nil for a route whose change is recorded by its store.
func (a *Authenticator) beginAudit(c *gin.Context, r Route) (*auditedRequest, error) {
	if r.Event == "" || a.Audit == nil {
		return nil, nil
	}
	out := &auditedRequest{route: r, audit: a.Audit}
	var err error
	if out.before, err = r.Subject(c.Request.Context(), a.Audit, c); err != nil && !fault.KindOf(err).Retryable() {
		return out, nil // the object does not exist: the handler answers that
	}
	return out, err
}

// record writes the audit entry: the caller, the route, the request, and the state
// before and after. A failed request leaves no entry, unless its outcome is unknown.
func (a *auditedRequest) record(c *gin.Context, p Principal, body []byte, failed error) {
	if a == nil || failed != nil && !fault.Is(failed, workflows.NoAnswer) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request.Context()), auditTimeout)
	defer cancel()
	log := LoggerOf(c)
	after, err := a.route.Subject(ctx, a.audit, c)
	if err != nil {
		log.WarnContext(ctx, "the state after a change could not be read", "type", a.route.Event, "error", err)
	}
	entry := audit.Entry{
		Type:     a.route.Event,
		Actor:    p.Actor(),
		ClientID: p.ClientID,
		AgentID:  a.before.AgentID,
		Message:  a.route.Summary,
		Metadata: map[string]any{"before": a.before.What, "after": after.What},
	}
	for _, param := range c.Params {
		entry.Metadata[param.Key] = param.Value
	}
	if asked := auditedBody(body); asked != nil {
		entry.Metadata["asked"] = asked
	}
	if failed != nil {
		entry.Metadata["outcome"] = "unknown: " + string(fault.CodeOf(failed))
	}
	if err := a.audit.Record(ctx, entry); err != nil {
		log.ErrorContext(ctx, "a change left no audit entry", "type", entry.Type, "actor", entry.Actor, "error", err)
	}
}
