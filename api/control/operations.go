package control

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/postgres/views"
	"spotkeeper/workflows"
	"spotkeeper/workflows/steps"
)

// OperationViews is the part of views.Views that operation routes read.
type OperationViews interface {
	Agent(ctx context.Context, clientID, id string) (*views.AgentView, error)
	Operations(ctx context.Context, f views.OperationFilter) ([]views.OperationView, error)
	Operation(ctx context.Context, clientID, id string) (*views.OperationView, error)
	OperationSteps(ctx context.Context, id string) ([]views.StepView, error)
	AgentNames(ctx context.Context, ids []string) (map[string]string, error)
	OperationWaits(ctx context.Context, ids []string) ([]views.OperationWait, error)
	Proofs(ctx context.Context, agentID string) ([]views.ProofView, error)
}

// RoleReader reads an agent's roles.
type RoleReader interface {
	Roles(ctx context.Context, agentID string) (*roles.AgentRoles, error)
}

// OperationWorkflows is the part of workflows.Client that operation routes use.
type OperationWorkflows interface {
	OperationState(ctx context.Context, operationID string) (*workflows.Progress, error)
	GuardianState(ctx context.Context, agentID string) (*workflows.GuardianState, error)
	CancelOperation(ctx context.Context, operationID, by string) error
}

// Operations serves what workflows do: lists and timelines from Postgres, the
// live state of one from the workflow itself.
type Operations struct {
	Views     OperationViews
	Evidence  EvidenceViews
	Roles     RoleReader
	Workflows OperationWorkflows
}

// Routes lists the endpoints. An operation's id contains slashes, so it comes
// escaped in one segment or plain as the rest of the path.
func (o *Operations) Routes() []web.Route {
	return []web.Route{
		{
			Method:   http.MethodGet,
			Path:     "/api/operations",
			ID:       "listOperations",
			Summary:  "List operations, newest first",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(o.list),
		},
		{
			Method:   http.MethodGet,
			Path:     "/api/operations/*operation_id",
			ID:       "getOperation",
			Summary:  "Read one operation with its timeline, or with live=true ask its workflow",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(o.get),
			Timeout:  web.GuardianTimeout,
		},
		{
			Method:   http.MethodPost,
			Path:     "/api/operations/*operation_id",
			DocPath:  "/api/operations/:operation_id/cancel",
			ID:       "cancelOperation",
			Summary:  "Call an operation off",
			Auth:     web.Client,
			Status:   202,
			Event:    "operation_cancelled",
			Subject:  web.OperationSubject,
			Endpoint: web.NewEndpoint(o.cancel),
			Timeout:  web.GuardianTimeout,
		},
		{
			Method:   http.MethodGet,
			Path:     "/api/client/agents/:agent_id/state",
			ID:       "getAgentState",
			Summary:  "Read who plays which part for an agent, and what is in flight",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(o.state),
			Timeout:  web.GuardianTimeout,
		},
	}
}

type listOperationsRequest struct {
	ClientID string     `json:"-" form:"client_id"`
	AgentID  string     `json:"-" form:"agent_id"`
	Kind     string     `json:"-" form:"kind" binding:"omitempty,oneof=switch replica termination promotion removal adoption"`
	State    string     `json:"-" form:"state" binding:"omitempty,oneof=running succeeded failed cancelled"`
	Cause    string     `json:"-" form:"cause" binding:"max=500" doc:"as the cause of an operation says it, in full"`
	Limit    *int       `json:"-" form:"limit" binding:"omitempty,min=1,max=500" doc:"50 by default"`
	After    web.Cursor `json:"-" form:"after" doc:"the next of the page before"`
}

type operationList struct {
	Operations []operationAnswer `json:"operations"`
	Next       *string           `json:"next"` // null on the last page
}

type operationAnswer struct {
	ID            string    `json:"id"`
	Href          string    `json:"href"`
	Kind          string    `json:"kind" enum:"switch replica termination promotion removal adoption"`
	ClientID      string    `json:"client_id"`
	AgentID       string    `json:"agent_id"`
	AgentName     string    `json:"agent_name" doc:"the agent's logical id; empty when it was removed"`
	State         string    `json:"state" enum:"running succeeded failed cancelled"`
	Phase         string    `json:"phase"`
	Summary       string    `json:"summary"`
	Cause         string    `json:"cause"`
	InstanceID    string    `json:"instance_id"`
	NewInstanceID string    `json:"new_instance_id"`
	ReplicaID     string    `json:"replica_id"`
	Deadline      *web.Time `json:"deadline"`
	ErrorCode     *string   `json:"error_code"`
	Error         *string   `json:"error_message"`
	StartedAt     web.Time  `json:"started_at"`
	UpdatedAt     web.Time  `json:"updated_at"`
	EndedAt       *web.Time `json:"ended_at"`

	Tries     int       `json:"tries" doc:"how often it was tried; tries that come to no instance are no operations of their own"`
	NextTryAt *web.Time `json:"next_try_at"`
	WaitsFor  *string   `json:"waits_for" doc:"of a running operation that cannot go on: why, and what to do"`
	Asks      *string   `json:"asks" enum:"left_over" doc:"what a person has to decide: left_over, by the route decideLeftOver; null: nothing"`
	TraceID   *string   `json:"trace_id" doc:"of the trace that it began in; null where traces are off or this one was not kept"`
}

func operationOf(x views.OperationView) operationAnswer {
	return operationAnswer{
		ID:            x.ID,
		Href:          web.OperationHref(x.ID),
		Kind:          x.Kind,
		ClientID:      x.ClientID,
		AgentID:       x.AgentID,
		State:         x.State,
		Phase:         x.Phase,
		Summary:       x.Summary,
		Cause:         x.Cause,
		InstanceID:    x.InstanceID,
		NewInstanceID: x.NewInstanceID,
		ReplicaID:     x.ReplicaID,
		Deadline:      web.NewTime(x.Deadline),
		ErrorCode:     x.ErrorCode,
		Error:         x.Error,
		StartedAt:     web.TimeOf(x.StartedAt),
		UpdatedAt:     web.TimeOf(x.UpdatedAt),
		EndedAt:       web.NewTime(x.EndedAt),
		Tries:         x.Tries,
		NextTryAt:     web.NewTime(x.NextTryAt),
		TraceID:       web.NilIfEmpty(x.TraceID),
	}
}

// withWaits fills in why running operations cannot go on.
func (o *Operations) withWaits(ctx context.Context, list []operationAnswer) error {
	var ids []string
	for n, x := range list {
		if x.State == "running" && x.Phase == workflows.PhaseNotTaken {
			list[n].WaitsFor, list[n].Asks = new(notTaken(x)), new(asksLeftOver)
			continue
		}
		if x.State == "running" && x.Kind == "termination" {
			ids = append(ids, x.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	waits, err := o.Views.OperationWaits(ctx, ids)
	if err != nil {
		return err
	}
	for _, w := range waits {
		n := slices.IndexFunc(list, func(x operationAnswer) bool { return x.ID == w.ID })
		list[n].Tries, list[n].NextTryAt = w.Tries, web.NewTime(w.NextTryAt)
		list[n].WaitsFor = new(waitsFor(w))
	}
	return nil
}

// withNames fills in the agents' logical ids.
func (o *Operations) withNames(ctx context.Context, list []operationAnswer) error {
	ids := make([]string, 0, len(list))
	for _, x := range list {
		ids = append(ids, x.AgentID)
	}
	names, err := o.Views.AgentNames(ctx, ids)
	if err != nil {
		return err
	}
	for n, x := range list {
		list[n].AgentName = names[x.AgentID]
	}
	return nil
}

// asksLeftOver is the decision on an instance that AWS announced the end of and has not
// taken.
const asksLeftOver = "left_over"

// notTaken says what there is to decide about such an instance.
func notTaken(x operationAnswer) string {
	out := "AWS announced the end of " + x.InstanceID + " and has not taken it. "
	if x.NewInstanceID != "" {
		out += x.NewInstanceID + " leads in its place, and both are paid. "
	}
	return out + "End the old one, or keep it."
}

// waitsFor is the reason in words.
func waitsFor(w views.OperationWait) string {
	times := "once"
	if w.Tries > 1 {
		times = fmt.Sprintf("%d times", w.Tries)
	}
	out := "No replacement can be launched: " + strings.TrimSuffix(w.Reason, ".") + ". It was tried " + times
	if w.NextTryAt != nil {
		out += ", and is tried again at " + w.NextTryAt.UTC().Format(time.TimeOnly) + " UTC"
	}
	return out + "."
}

func (o *Operations) list(ctx context.Context, in *listOperationsRequest) (*operationList, error) {
	turning := web.Paging{After: in.After} // its next page is in the body
	f := views.OperationFilter{
		ClientID: in.ClientID,
		AgentID:  in.AgentID,
		Kind:     in.Kind,
		State:    in.State,
		Cause:    in.Cause,
		Page:     turning.PageOf(web.ValueOr(in.Limit, 50)),
	}
	if scope := web.TenantScope(ctx); scope != "" {
		f.ClientID = scope
	}
	found, err := o.Views.Operations(ctx, f)
	found, err = web.FinishPage(&turning, found, err, func(x views.OperationView) pg.Cursor {
		return pg.Cursor{At: x.StartedAt, ID: x.ID}
	})
	list, err := web.MapRows(found, err, operationOf)
	if err != nil {
		return nil, err
	}
	if err := o.withWaits(ctx, *list); err != nil {
		return nil, err
	}
	if err := o.withNames(ctx, *list); err != nil {
		return nil, err
	}
	out := &operationList{Operations: *list}
	out.Next = turning.NextCursor()
	return out, nil
}

type getOperationRequest struct {
	web.OperationPath
	Live *web.Bool `json:"-" form:"live" doc:"ask the workflow instead of its projection"`
}

type operationDetail struct {
	operationAnswer
	operationEvidence
	Steps []stepAnswer `json:"steps"`
	Live  *liveAnswer  `json:"live,omitempty"`
}

type stepAnswer struct {
	Name        string   `json:"name"`
	Status      string   `json:"status" enum:"started done failed dropped"`
	Detail      string   `json:"detail"`
	SecondsLeft *float64 `json:"seconds_left"`
	At          web.Time `json:"at"`

	ExactAt web.ExactTime `json:"exact_at" doc:"at with its milliseconds"`
	SinceMs int64         `json:"since_ms" doc:"milliseconds since the operation's began_at"`
}

type liveAnswer struct {
	Phase     string       `json:"phase"`
	Detail    string       `json:"detail"`
	Committed bool         `json:"committed"`
	Steps     []stepAnswer `json:"steps"`
}

func (o *Operations) get(ctx context.Context, in *getOperationRequest) (*operationDetail, error) {
	id := in.ID()
	view, err := o.Views.Operation(ctx, web.TenantScope(ctx), id)
	if err != nil {
		return nil, err
	}
	steps, err := o.Views.OperationSteps(ctx, id)
	if err != nil {
		return nil, err
	}
	evidence, err := o.evidence(ctx, view)
	if err != nil {
		return nil, err
	}
	began := evidence.BeganAt.Time
	answer := []operationAnswer{operationOf(*view)}
	if err := o.withWaits(ctx, answer); err != nil {
		return nil, err
	}
	if err := o.withNames(ctx, answer); err != nil {
		return nil, err
	}
	out := &operationDetail{operationAnswer: answer[0], operationEvidence: *evidence, Steps: []stepAnswer{}}
	for _, s := range steps {
		out.Steps = append(out.Steps, newStep(s.Name, s.Status, s.Detail, s.SecondsLeft, s.At, began))
	}
	if !in.Live.Or(false) {
		return out, nil
	}
	live, err := o.Workflows.OperationState(ctx, id)
	if err != nil {
		return nil, err
	}
	out.Live = &liveAnswer{Phase: live.Phase, Detail: live.Detail, Committed: live.Committed, Steps: []stepAnswer{}}
	for _, s := range live.Steps {
		out.Live.Steps = append(out.Live.Steps, newStep(s.Name, s.Status, s.Detail, s.SecondsLeft, s.At, began))
	}
	return out, nil
}

type cancelRequest struct {
	web.OperationPath
	web.OptionalBody
}

type cancelAnswer struct {
	Success     bool   `json:"success"`
	OperationID string `json:"operation_id"`
	Href        string `json:"href"`
}

func (o *Operations) cancel(ctx context.Context, in *cancelRequest) (*cancelAnswer, error) {
	id, found := strings.CutSuffix(in.ID(), "/cancel")
	if !found {
		return nil, web.NoRoute.New("There is no such path: an operation is called off at its path with /cancel.")
	}
	if err := o.Cancel(ctx, id); err != nil {
		return nil, err
	}
	return &cancelAnswer{Success: true, OperationID: id, Href: web.OperationHref(id)}, nil
}

// Cancel asks a running operation of the caller to end. Fails with operation.unknown
// and operation.ended.
func (o *Operations) Cancel(ctx context.Context, id string) error {
	view, err := o.Views.Operation(ctx, web.TenantScope(ctx), id)
	if err != nil {
		return err
	}
	if view.State != "running" {
		return steps.Ended.New("%s has ended already", id).With("operation_id", id).With("state", view.State)
	}
	return o.Workflows.CancelOperation(ctx, id, web.ActorName(ctx))
}

// isGuardianAbsent says that an agent's Guardian is not needed at the moment.
func isGuardianAbsent(err error) bool {
	return fault.Is(err, workflows.NoOperation) || web.IsUnavailable(err)
}

// runningOf chooses what is in flight for an agent.
func runningOf(clientID, agentID string) views.OperationFilter {
	return views.OperationFilter{ClientID: clientID, AgentID: agentID, State: "running", Page: pg.Page{Limit: 50}}
}
