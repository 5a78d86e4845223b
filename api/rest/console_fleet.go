package rest

import (
	"context"
	"errors"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/postgres"
)

type listFleetRequest struct {
	ClientID string `json:"-" form:"client_id" binding:"max=64"`
	Status   string `json:"-" form:"status" binding:"omitempty,oneof=online offline disabled switching error"`
	Mode     string `json:"-" form:"mode" binding:"omitempty,oneof=spot ondemand" doc:"how the primary is bought"`
	Needs    string `json:"-" form:"needs" binding:"omitempty,oneof=primary standby pause" doc:"primary, standby: agents that lack it; pause: agents that are paused"`
	Text     string `json:"-" form:"q" binding:"max=100" doc:"a part of the logical id, or the beginning of an agent's or instance's id"`
	Limit    *int   `json:"-" form:"limit" binding:"omitempty,min=1,max=500" doc:"100 by default"`
	After    cursor `json:"-" form:"after" doc:"the next of the page before"`
}

type fleetList struct {
	Agents []fleetAgent `json:"agents"`
	Total  int          `json:"total" doc:"how many agents the filter chooses"`
	Next   *string      `json:"next" doc:"null on the last page"`
}

type fleetAgent struct {
	ID            string        `json:"id"`
	Name          string        `json:"name" doc:"the logical id" example:"web"`
	ClientID      string        `json:"client_id"`
	ClientName    string        `json:"client_name"`
	Status        string        `json:"status" enum:"online offline disabled switching error"`
	Keeping       string        `json:"keeping" enum:"off manual auto" doc:"off: no standbys; manual: one standby always; auto: a replica when an instance is in danger"`
	Launcher      string        `json:"launcher" enum:"control-plane agent"`
	Enabled       bool          `json:"enabled"`
	Epoch         int64         `json:"epoch" doc:"how often its primary has changed"`
	Version       string        `json:"agent_version"`
	LastHeartbeat *ExactTime    `json:"last_heartbeat_at"`
	Primary       *fleetPrimary `json:"primary"`
	Risk          *float64      `json:"risk" doc:"probability of being interrupted within a day, as it was decided last"`
	Standby       *fleetStandby `json:"standby"`
	Pause         *fleetPause   `json:"pause"`
	Operation     *fleetWork    `json:"operation" doc:"the newest that runs"`
	Notice        *string       `json:"notice" enum:"rebalance-recommendation termination-notice" doc:"that is not decided"`
}

type fleetPrimary struct {
	InstanceID   string   `json:"instance_id"`
	InstanceType string   `json:"instance_type" example:"m5.large"`
	Region       string   `json:"region" example:"us-east-1"`
	AZ           string   `json:"az" example:"us-east-1a"`
	Mode         string   `json:"mode" enum:"spot ondemand unknown"`
	PoolID       string   `json:"pool_id" example:"m5.large.us-east-1a"`
	Price        *float64 `json:"price" doc:"USD per hour"`
	OnDemand     *float64 `json:"on_demand_price" doc:"USD per hour"`
}

type fleetStandby struct {
	ID         string  `json:"id"`
	State      string  `json:"state" enum:"requested launching running ready"`
	InstanceID *string `json:"instance_id"`
}

type fleetPause struct {
	Scope string    `json:"scope" enum:"global client agent"`
	Until ExactTime `json:"until"`
}

type fleetWork struct {
	ID    string `json:"id"`
	Kind  string `json:"kind" enum:"switch termination promotion removal"`
	Phase string `json:"phase"`
}

func fleetAgentOf(x postgres.FleetView) fleetAgent {
	out := fleetAgent{
		ID: x.ID, Name: x.LogicalAgentID, ClientID: x.ClientID, ClientName: x.ClientName, Status: x.Status, Keeping: x.Keeping, Launcher: x.Launcher,
		Enabled: x.Enabled, Epoch: x.Epoch, Version: x.AgentVersion, LastHeartbeat: newExactTime(x.LastHeartbeat), Risk: x.Risk, Notice: x.Notice,
	}
	if x.InstanceID != nil {
		out.Primary = &fleetPrimary{
			InstanceID: *x.InstanceID, InstanceType: deref(x.InstanceType), Region: deref(x.Region), AZ: deref(x.AZ),
			Mode: deref(x.Mode), PoolID: deref(x.PoolID), Price: x.Price, OnDemand: x.OnDemand,
		}
	}
	if x.StandbyID != nil {
		out.Standby = &fleetStandby{ID: *x.StandbyID, State: deref(x.StandbyState), InstanceID: x.StandbyOn}
	}
	if x.PausedUntil != nil {
		out.Pause = &fleetPause{Scope: deref(x.PauseScope), Until: ExactTime{*x.PausedUntil}}
	}
	if x.OperationID != nil {
		out.Operation = &fleetWork{ID: *x.OperationID, Kind: deref(x.OperationKind), Phase: deref(x.Phase)}
	}
	return out
}

func (c *Console) fleet(ctx context.Context, in *listFleetRequest) (*fleetList, error) {
	turning := paging{After: in.After}
	f := postgres.FleetFilter{
		ClientID: ownClient(ctx, in.ClientID), Status: in.Status, Mode: in.Mode, Needs: in.Needs, Text: in.Text,
		Page: turning.pageOf(valueOr(in.Limit, 100)),
	}
	found, err := c.Views.Fleet(ctx, f)
	found, err = finishPage(&turning, found, err, func(x postgres.FleetView) postgres.Cursor { return postgres.Cursor{ID: x.Key()} })
	list, err := mapRows(found, err, fleetAgentOf)
	if err != nil {
		return nil, err
	}
	total, err := c.Views.FleetSize(ctx, f)
	if err != nil {
		return nil, err
	}
	return &fleetList{Agents: *list, Total: total, Next: nilIfEmpty(turning.next)}, nil
}

// batchAnswer says of each thing how it went. One that is refused stops no other.
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
		if isUnavailable(err) {
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
	if f, coded := errors.AsType[*fault.Error](err); coded {
		return f.Message
	}
	return messageOf(err)
}

type pauseAgentsRequest struct {
	pauseWish
	AgentIDs []string `json:"agent_ids" binding:"required,min=1,max=500"`
}

func (c *Console) pauseAgents(ctx context.Context, in *pauseAgentsRequest) (*batchAnswer, error) {
	return forEach(ctx, in.AgentIDs, func(ctx context.Context, id string) error {
		_, err := c.Pauses.set(ctx, pauseSubject(tenantScope(ctx), id), in.pauseWish)
		return err
	})
}

type resumeAgentsRequest struct {
	AgentIDs []string `json:"agent_ids" binding:"required,min=1,max=500"`
}

func (c *Console) resumeAgents(ctx context.Context, in *resumeAgentsRequest) (*batchAnswer, error) {
	return forEach(ctx, in.AgentIDs, func(ctx context.Context, id string) error {
		_, _, err := c.Pauses.Store.Lift(ctx, withActor(ctx, pauseSubject(tenantScope(ctx), id)))
		return err
	})
}

type cancelOperationsRequest struct {
	OperationIDs []string `json:"operation_ids" binding:"required,min=1,max=100"`
}

func (c *Console) cancelOperations(ctx context.Context, in *cancelOperationsRequest) (*batchAnswer, error) {
	return forEach(ctx, in.OperationIDs, c.cancelAudited)
}

// cancelAudited calls one operation off and records who did it.
func (c *Console) cancelAudited(ctx context.Context, id string) error {
	before, err := c.Audit.Operation(ctx, id)
	if err != nil {
		return err
	}
	if err := c.Operations.cancelOne(ctx, id); err != nil {
		return err
	}
	log := loggerFrom(ctx).With("operation_id", id)
	after, err := c.Audit.Operation(ctx, id)
	if err != nil {
		log.WarnContext(ctx, "the state after a change could not be read", "error", err)
	}
	entry := postgres.AuditEntry{
		Type: "operation_cancelled", Actor: actorName(ctx), AgentID: before.AgentID, Message: "Call an operation off",
		Metadata: map[string]any{"operation_id": id, "before": before.What, "after": after.What},
	}
	if err := c.Audit.Record(ctx, entry); err != nil {
		log.ErrorContext(ctx, "a change left no audit entry", "type", entry.Type, "actor", entry.Actor, "error", err)
	}
	return nil
}
