package pages

import (
	"context"

	"spotkeeper/api/web"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/postgres/views"
)

type listFleetRequest struct {
	ClientID string     `json:"-" form:"client_id" binding:"max=64"`
	Status   string     `json:"-" form:"status" binding:"omitempty,oneof=online offline disabled switching error"`
	Mode     string     `json:"-" form:"mode" binding:"omitempty,oneof=spot ondemand" doc:"how the primary is bought"`
	Needs    string     `json:"-" form:"needs" binding:"omitempty,oneof=primary standby pause" doc:"primary, standby: agents that lack it; pause: agents that are paused"`
	Text     string     `json:"-" form:"q" binding:"max=100" doc:"a part of the logical id, or the beginning of an agent's or instance's id"`
	Limit    *int       `json:"-" form:"limit" binding:"omitempty,min=1,max=500" doc:"100 by default"`
	After    web.Cursor `json:"-" form:"after" doc:"the next of the page before"`
}

type fleetList struct {
	Agents []fleetAgent `json:"agents"`
	Total  int          `json:"total" doc:"how many agents the filter chooses"`
	Next   *string      `json:"next" doc:"null on the last page"`
}

type fleetAgent struct {
	ID            string         `json:"id"`
	Name          string         `json:"name" doc:"the logical id" example:"web"`
	ClientID      string         `json:"client_id"`
	ClientName    string         `json:"client_name"`
	Status        string         `json:"status" enum:"online offline disabled switching error"`
	Keeping       string         `json:"keeping" enum:"off manual auto" doc:"off: no standbys; manual: one standby always; auto: a replica when an instance is in danger"`
	Launcher      string         `json:"launcher" enum:"control-plane agent"`
	Enabled       bool           `json:"enabled"`
	Epoch         int64          `json:"epoch" doc:"how often its primary has changed"`
	Version       string         `json:"agent_version"`
	LastHeartbeat *web.ExactTime `json:"last_heartbeat_at"`
	Primary       *fleetPrimary  `json:"primary"`
	Risk          *float64       `json:"risk" doc:"probability of being interrupted within a day, as it was decided last"`
	Standby       *fleetStandby  `json:"standby"`
	Pause         *fleetPause    `json:"pause"`
	Operation     *fleetWork     `json:"operation" doc:"the newest that runs"`
	Notice        *string        `json:"notice" enum:"rebalance-recommendation termination-notice" doc:"that is not decided"`
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
	Scope string        `json:"scope" enum:"global client agent"`
	Until web.ExactTime `json:"until"`
}

type fleetWork struct {
	ID    string `json:"id"`
	Kind  string `json:"kind" enum:"switch termination promotion removal"`
	Phase string `json:"phase"`
}

func fleetAgentOf(x views.FleetView) fleetAgent {
	out := fleetAgent{
		ID:            x.ID,
		Name:          x.LogicalAgentID,
		ClientID:      x.ClientID,
		ClientName:    x.ClientName,
		Status:        x.Status,
		Keeping:       x.Keeping,
		Launcher:      x.Launcher,
		Enabled:       x.Enabled,
		Epoch:         x.Epoch,
		Version:       x.AgentVersion,
		LastHeartbeat: web.NewExactTime(x.LastHeartbeat),
		Risk:          x.Risk,
		Notice:        x.Notice,
	}
	if x.InstanceID != nil {
		out.Primary = &fleetPrimary{
			InstanceID:   *x.InstanceID,
			InstanceType: web.Deref(x.InstanceType),
			Region:       web.Deref(x.Region),
			AZ:           web.Deref(x.AZ),
			Mode:         web.Deref(x.Mode),
			PoolID:       web.Deref(x.PoolID),
			Price:        x.Price,
			OnDemand:     x.OnDemand,
		}
	}
	if x.StandbyID != nil {
		out.Standby = &fleetStandby{ID: *x.StandbyID, State: web.Deref(x.StandbyState), InstanceID: x.StandbyOn}
	}
	if x.PausedUntil != nil {
		out.Pause = &fleetPause{Scope: web.Deref(x.PauseScope), Until: web.ExactTime{Time: *x.PausedUntil}}
	}
	if x.OperationID != nil {
		out.Operation = &fleetWork{ID: *x.OperationID, Kind: web.Deref(x.OperationKind), Phase: web.Deref(x.Phase)}
	}
	return out
}

func (c *Console) fleet(ctx context.Context, in *listFleetRequest) (*fleetList, error) {
	turning := web.Paging{After: in.After}
	f := views.FleetFilter{
		ClientID: ownClient(ctx, in.ClientID), Status: in.Status, Mode: in.Mode, Needs: in.Needs, Text: in.Text,
		Page: turning.PageOf(web.ValueOr(in.Limit, 100)),
	}
	found, err := c.Views.Fleet(ctx, f)
	found, err = web.FinishPage(&turning, found,
		err, func(x views.FleetView) pg.Cursor { return pg.Cursor{ID: x.Key()} })
	list, err := web.MapRows(found, err, fleetAgentOf)
	if err != nil {
		return nil, err
	}
	total, err := c.Views.FleetSize(ctx, f)
	if err != nil {
		return nil, err
	}
	return &fleetList{Agents: *list, Total: total, Next: turning.NextCursor()}, nil
}
