package agents

import (
	"cmp"
	"context"
	"time"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/switching"
)

type reportedInstance struct {
	InstanceID string `json:"instance_id"   binding:"required,max=64"`
	Type       string `json:"instance_type" binding:"max=64"`
	Region     string `json:"region"        binding:"max=32"`
	AZ         string `json:"az"            binding:"max=32"`
	AMI        string `json:"ami_id"        binding:"max=64"`
	Mode       string `json:"mode"          binding:"max=20"`
	PoolID     string `json:"pool_id"       binding:"max=100"`
}

// reportedPrices are USD per hour. An agent that found no price says null, and an
// old one 0.
type reportedPrices struct {
	OnDemand *float64 `json:"on_demand" binding:"omitempty,min=0,max=1000"`
	OldSpot  *float64 `json:"old_spot"  binding:"omitempty,min=0,max=1000"`
	NewSpot  *float64 `json:"new_spot"  binding:"omitempty,min=0,max=1000"`
}

// reportedTiming has the names of the deployed agents and those of the backend
// that they were written against.
type reportedTiming struct {
	Initiated      *web.Time `json:"switch_initiated_at"`
	SnapshotMade   *web.Time `json:"snapshot_created_at"`
	AMIMade        *web.Time `json:"ami_created_at"`
	Launched       *web.Time `json:"new_instance_launched_at"`
	Ready          *web.Time `json:"new_instance_ready_at"`
	Switched       *web.Time `json:"traffic_switched_at"`
	OldEnded       *web.Time `json:"old_instance_terminated_at"`
	LegacyStarted  *web.Time `json:"initiated_at"`
	LegacyLaunched *web.Time `json:"instance_launched_at"`
	LegacyReady    *web.Time `json:"instance_ready_at"`
	LegacyOldEnded *web.Time `json:"old_terminated_at"`
}

type reportedSnapshot struct {
	Used       *web.Bool `json:"used"`
	AMI        string    `json:"ami_id"      binding:"max=64"`
	AMIName    string    `json:"ami_name"    binding:"max=255"`
	SnapshotID string    `json:"snapshot_id" binding:"max=64"`
	VolumeID   string    `json:"volume_id"   binding:"max=64"`
}

type switchReportRequest struct {
	web.AgentPath
	Old       reportedInstance `json:"old_instance" binding:"required"`
	New       reportedInstance `json:"new_instance" binding:"required"`
	Prices    *reportedPrices  `json:"prices"`
	Pricing   *reportedPrices  `json:"pricing" doc:"another spelling of prices"`
	Timing    reportedTiming   `json:"timing"`
	Snapshot  reportedSnapshot `json:"snapshot"`
	Trigger   string           `json:"trigger"    binding:"max=20"`
	CommandID web.Text         `json:"command_id" binding:"max=64"`
}

// record translates the report, whichever spelling it uses.
func (in *switchReportRequest) record(clientID string) switching.Report {
	prices := cmp.Or(in.Prices, in.Pricing, &reportedPrices{})
	first := func(times ...*web.Time) time.Time {
		for _, t := range times {
			if t != nil {
				return t.Time
			}
		}
		return time.Time{}
	}
	t := in.Timing
	r := switching.Report{
		ClientID:    clientID,
		AgentID:     in.AgentID,
		CommandID:   string(in.CommandID),
		Trigger:     cmp.Or(in.Trigger, "manual"),
		OldID:       in.Old.InstanceID,
		NewID:       in.New.InstanceID,
		OldMode:     in.Old.Mode,
		NewMode:     in.New.Mode,
		OldPool:     in.Old.PoolID,
		NewPool:     in.New.PoolID,
		OnDemand:    prices.OnDemand,
		OldSpot:     prices.OldSpot,
		NewSpot:     prices.NewSpot,
		InitiatedAt: first(t.Initiated, t.LegacyStarted),
		LaunchedAt:  first(t.Launched, t.LegacyLaunched),
		ReadyAt:     first(t.Ready, t.LegacyReady),
		SwitchedAt:  first(t.Switched),
		EndedOldAt:  first(t.OldEnded, t.LegacyOldEnded),
		Timing:      map[string]any{},
		Snapshot:    map[string]any{},
	}
	for name, at := range map[string]time.Time{
		"initiated_at":         r.InitiatedAt,
		"instance_launched_at": r.LaunchedAt,
		"instance_ready_at":    r.ReadyAt,
		"traffic_switched_at":  r.SwitchedAt,
		"old_terminated_at":    r.EndedOldAt,
		"ami_created_at":       first(t.AMIMade),
		"snapshot_created_at":  first(t.SnapshotMade),
	} {
		if !at.IsZero() {
			r.Timing[name] = web.TimeOf(at)
		}
	}
	r.Snapshot["used"] = in.Snapshot.Used.Or(false)
	for name, value := range map[string]string{
		"ami_id":      in.Snapshot.AMI,
		"ami_name":    in.Snapshot.AMIName,
		"snapshot_id": in.Snapshot.SnapshotID,
		"volume_id":   in.Snapshot.VolumeID,
	} {
		if value != "" {
			r.Snapshot[name] = value
		}
	}
	return r
}

// report keeps the report, which comes only once. Which instance becomes primary is
// for the switch to decide.
func (c *Commands) report(ctx context.Context, in *switchReportRequest) (*web.Success, error) {
	if in.Old.InstanceID == in.New.InstanceID {
		return nil, web.InvalidRequest.New("old_instance and new_instance are the same instance")
	}
	kept, err := c.Reports.Record(ctx, in.record(web.PrincipalFrom(ctx).ClientID))
	if err != nil {
		return nil, err
	}
	if kept.First {
		c.sendSwitchNews(ctx, in.AgentID, kept.SwitchID, kept.Launcher)
	}
	return web.Done, nil
}
