package control

import (
	"context"
	"errors"
	"net/http"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/postgres/audit"
)

// Fleet serves changes of several agents or operations at once.
type Fleet struct {
	Pauses     *Pauses
	Operations *Operations
	Audit      web.AuditStore
}

// Routes lists the endpoints.
func (f *Fleet) Routes() []web.Route {
	return []web.Route{
		{
			Method:   http.MethodPost,
			Path:     "/api/fleet/pause",
			ID:       "pauseAgents",
			Summary:  "Pause the voluntary moves of several agents",
			Auth:     web.Client,
			Status:   200,
			Timeout:  web.GuardianTimeout,
			Endpoint: web.NewEndpoint(f.pauseAgents),
		},
		{
			Method:   http.MethodPost,
			Path:     "/api/fleet/resume",
			ID:       "resumeAgents",
			Summary:  "Lift the pauses of several agents",
			Auth:     web.Client,
			Status:   200,
			Timeout:  web.GuardianTimeout,
			Endpoint: web.NewEndpoint(f.resumeAgents),
		},
		{
			Method:   http.MethodPost,
			Path:     "/api/fleet/cancel",
			ID:       "cancelOperations",
			Summary:  "Call several operations off",
			Auth:     web.Client,
			Status:   200,
			Timeout:  web.GuardianTimeout,
			Endpoint: web.NewEndpoint(f.cancelOperations),
		},
	}
}

// batchAnswer has the outcome of each element. An element that is refused stops no other.
type batchAnswer struct {
	Done    int           `json:"done"`
	Refused int           `json:"refused"`
	Results []batchResult `json:"results" doc:"in the order of the request"`
}

type batchResult struct {
	ID    string  `json:"id"`
	OK    bool    `json:"ok"`
	Code  *string `json:"code"`
	Error *string `json:"error"`
}

// forEach does a thing for each id and gathers how it went. It fails only when the
// database or Temporal cannot be reached, because then no other can be done either.
func forEach(ctx context.Context, ids []string, do func(ctx context.Context, id string) error) (*batchAnswer, error) {
	out := &batchAnswer{Results: make([]batchResult, 0, len(ids))}
	for _, id := range ids {
		err := do(ctx, id)
		if web.IsUnavailable(err) {
			return nil, err
		}
		if err != nil {
			code, sentence := string(fault.CodeOf(err)), sentenceFor(err)
			out.Refused++
			out.Results = append(out.Results, batchResult{ID: id, Code: &code, Error: &sentence})
			continue
		}
		out.Done++
		out.Results = append(out.Results, batchResult{ID: id, OK: true})
	}
	return out, nil
}

// sentenceFor is what users read of an error.
func sentenceFor(err error) string {
	if known, coded := errors.AsType[*fault.Error](err); coded {
		return known.Message
	}
	return web.MessageOf(err)
}

type pauseAgentsRequest struct {
	pauseWish
	AgentIDs []string `json:"agent_ids" binding:"required,min=1,max=500"`
}

func (f *Fleet) pauseAgents(ctx context.Context, in *pauseAgentsRequest) (*batchAnswer, error) {
	return forEach(ctx, in.AgentIDs, func(ctx context.Context, id string) error {
		_, err := f.Pauses.set(ctx, pauseSubject(web.TenantScope(ctx), id), in.pauseWish)
		return err
	})
}

type resumeAgentsRequest struct {
	AgentIDs []string `json:"agent_ids" binding:"required,min=1,max=500"`
}

func (f *Fleet) resumeAgents(ctx context.Context, in *resumeAgentsRequest) (*batchAnswer, error) {
	return forEach(ctx, in.AgentIDs, func(ctx context.Context, id string) error {
		_, _, err := f.Pauses.Store.Lift(ctx, withActor(ctx, pauseSubject(web.TenantScope(ctx), id)))
		return err
	})
}

type cancelOperationsRequest struct {
	OperationIDs []string `json:"operation_ids" binding:"required,min=1,max=100"`
}

func (f *Fleet) cancelOperations(ctx context.Context, in *cancelOperationsRequest) (*batchAnswer, error) {
	return forEach(ctx, in.OperationIDs, f.cancelAudited)
}

// cancelAudited calls one operation off and records who did it.
func (f *Fleet) cancelAudited(ctx context.Context, id string) error {
	before, err := f.Audit.Operation(ctx, id)
	if err != nil {
		return err
	}
	if err := f.Operations.Cancel(ctx, id); err != nil {
		return err
	}
	log := web.LoggerFrom(ctx).With("operation_id", id)
	after, err := f.Audit.Operation(ctx, id)
	if err != nil {
		log.WarnContext(ctx, "the state after a change could not be read", "error", err)
	}
	entry := audit.Entry{
		Type:     "operation_cancelled",
		Actor:    web.ActorName(ctx),
		AgentID:  before.AgentID,
		Message:  "Call an operation off",
		Metadata: map[string]any{"operation_id": id, "before": before.What, "after": after.What},
	}
	if err := f.Audit.Record(ctx, entry); err != nil {
		log.ErrorContext(ctx, "a change left no audit entry", "type", entry.Type, "actor", entry.Actor, "error", err)
	}
	return nil
}
