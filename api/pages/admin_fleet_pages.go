package pages

import (
	"context"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/postgres/views"
)

type adminInstancesRequest struct {
	web.Paging
	Status *string `json:"-" form:"status" doc:"active or terminated; anything else is all"`
	Mode   *string `json:"-" form:"mode"`
	Region *string `json:"-" form:"region"`
	Search *string `json:"-" form:"search" doc:"a part of the id or the type"`
	Limit  *int    `json:"-" form:"limit" binding:"omitempty,min=1,max=500"`
}

type adminInstances struct {
	Instances []adminInstance `json:"instances"`
	Total     int             `json:"total"`
	Filters   instanceFilters `json:"filters"`
}

type instanceFilters struct {
	Status *string `json:"status"`
	Mode   *string `json:"mode"`
	Region *string `json:"region"`
	Search *string `json:"search"`
}

type adminInstance struct {
	ID             string    `json:"id"`
	InstanceID     string    `json:"instanceId"`
	ClientID       string    `json:"clientId"`
	ClientName     string    `json:"clientName"`
	AgentID        *string   `json:"agentId"`
	Region         string    `json:"region"`
	AZ             string    `json:"az"`
	InstanceType   string    `json:"instanceType"`
	CurrentMode    string    `json:"currentMode"`
	CurrentPoolID  *string   `json:"currentPoolId"`
	SpotPrice      *float64  `json:"spotPrice"`
	OnDemandPrice  *float64  `json:"ondemandPrice"`
	IsActive       bool      `json:"isActive"`
	InstalledAt    *web.Time `json:"installedAt"`
	CreatedAt      web.Time  `json:"createdAt"`
	LogicalAgentID *string   `json:"logicalAgentId"`
	AgentStatus    *string   `json:"agentStatus"`
	Role           string    `json:"role"`
	Proof          string    `json:"proof" doc:"launched, adopted or unproven"`
	Unproven       *string   `json:"unproven" doc:"why nothing at EC2 is done for it, and what repairs that"`
}

func (p *AdminPages) instances(ctx context.Context, in *adminInstancesRequest) (*adminInstances, error) {
	found, err := p.Views.Instances(ctx, views.InstanceFilter{
		Status: web.Deref(in.Status),
		Mode:   web.Deref(in.Mode),
		Region: web.Deref(in.Region),
		Search: web.Deref(in.Search),
		Page:   in.PageOf(web.ValueOr(in.Limit, web.MostListed)),
	})
	found, err = web.FinishPage(&in.Paging, found, err, placeOfInstance)
	if err != nil {
		return nil, err
	}
	out := &adminInstances{
		Instances: []adminInstance{},
		Total:     len(found),
		Filters:   instanceFilters{Status: in.Status, Mode: in.Mode, Region: in.Region, Search: in.Search},
	}
	for _, i := range found {
		out.Instances = append(out.Instances, adminInstance{
			ID:             i.ID,
			InstanceID:     i.ID,
			ClientID:       i.ClientID,
			ClientName:     i.ClientName,
			AgentID:        i.AgentID,
			Region:         i.Region,
			AZ:             i.AZ,
			InstanceType:   i.InstanceType,
			CurrentMode:    i.Mode,
			CurrentPoolID:  spotPool(i.Mode, i.PoolID),
			SpotPrice:      nilUnlessPositive(i.SpotPrice),
			OnDemandPrice:  nilUnlessPositive(i.OnDemandPrice),
			IsActive:       i.Active,
			InstalledAt:    web.NewTime(&i.InstalledAt),
			CreatedAt:      web.TimeOf(i.CreatedAt),
			LogicalAgentID: i.LogicalAgentID,
			AgentStatus:    i.AgentStatus,
			Role:           i.Role,
			Proof:          i.Proof,
			Unproven:       i.Unproven,
		})
	}
	return out, nil
}

// nilUnlessPositive is a price; null when it is not known.
func nilUnlessPositive(price *float64) *float64 {
	if price == nil || *price <= 0 {
		return nil
	}
	return price
}

type adminAgentsRequest struct {
	web.Paging
	Status *string `json:"-" form:"status"`
	Limit  *int    `json:"-" form:"limit" binding:"omitempty,min=1,max=500" doc:"by default the 500 with the newest heartbeats; with one, in pages by id"`
}

type adminAgents struct {
	Agents  []adminAgent `json:"agents"`
	Total   int          `json:"total"`
	Filters statusFilter `json:"filters"`
}

type statusFilter struct {
	Status *string `json:"status"`
}

type adminAgent struct {
	ID             string    `json:"id"`
	LogicalAgentID string    `json:"logicalAgentId"`
	Hostname       *string   `json:"hostname"`
	ClientID       string    `json:"clientId"`
	ClientName     string    `json:"clientName"`
	InstanceID     *string   `json:"instanceId"`
	InstanceType   *string   `json:"instanceType"`
	Region         *string   `json:"region"`
	AZ             *string   `json:"az"`
	CurrentMode    *string   `json:"currentMode"`
	CurrentPoolID  *string   `json:"currentPoolId"`
	Status         string    `json:"status"`
	Enabled        bool      `json:"enabled"`
	AutoSwitch     bool      `json:"autoSwitchEnabled"`
	Version        *string   `json:"version"`
	LastHeartbeat  *web.Time `json:"lastHeartbeatAt"`
	CreatedAt      web.Time  `json:"createdAt"`
}

func (p *AdminPages) agents(ctx context.Context, in *adminAgentsRequest) (*adminAgents, error) {
	found, err := p.Views.AllAgents(ctx, web.Deref(in.Status), in.PageOf(web.ValueOr(in.Limit, 0)), web.MostListed)
	found, err = web.FinishPage(&in.Paging, found,
		err, func(a views.AgentView) pg.Cursor { return pg.Cursor{ID: a.ID} })
	if err != nil {
		return nil, err
	}
	out := &adminAgents{Agents: []adminAgent{}, Total: len(found), Filters: statusFilter{Status: in.Status}}
	for _, a := range found {
		out.Agents = append(out.Agents, adminAgent{
			ID:             a.ID,
			LogicalAgentID: a.LogicalAgentID,
			Hostname:       web.NilIfEmpty(a.Hostname),
			ClientID:       a.ClientID,
			ClientName:     a.ClientName,
			InstanceID:     a.InstanceID,
			InstanceType:   a.InstanceType,
			Region:         a.Region,
			AZ:             a.AZ,
			CurrentMode:    a.Mode,
			CurrentPoolID:  spotPool(web.Deref(a.Mode), web.Deref(a.PoolID)),
			Status:         string(a.Status),
			Enabled:        a.Enabled,
			AutoSwitch:     a.Keeping == agent.KeepAuto,
			Version:        web.NilIfEmpty(a.AgentVersion),
			LastHeartbeat:  web.NewTime(a.LastHeartbeat),
			CreatedAt:      web.TimeOf(a.CreatedAt),
		})
	}
	return out, nil
}
