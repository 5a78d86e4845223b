package demo

import (
	"context"
	"time"

	simclient "spotkeeper/internal/ec2sim/client"
)

// clocks are a simulated agent's timers. The deployed agents' are thirty seconds
// and more; a demo of one minute needs quicker ones.
var clocks = struct{ heartbeat, imds, prices, commands, config, retry, reboot time.Duration }{
	heartbeat: 5 * time.Second, imds: time.Second, prices: 20 * time.Second, commands: 5 * time.Second,
	config: 20 * time.Second, retry: 2 * time.Second, reboot: 10 * time.Second,
}

// agentProcess is the program that runs on one instance. It follows the current
// agent of the contract: it tells of each signal once, asks for an emergency
// replica first, and ends when the failover is done; its supervisor starts it
// again on the interrupted machine, as systemd does.
type agentProcess struct {
	w          *world
	m          *member
	instanceID string
	meta       simclient.Metadata

	agentID           string
	reportedRebalance bool
	reportedNotice    bool
}

// run is one life of the process. It returns when ctx ends, which is when the
// instance ends, or when the agent has been replaced.
func (p *agentProcess) run(ctx context.Context) error {
	meta, err := p.w.sim.Metadata(ctx, p.instanceID)
	if err != nil {
		return err
	}
	p.meta = meta
	if err := p.register(ctx); err != nil {
		return err
	}
	p.heartbeat(ctx, "online")
	p.reportPrices(ctx)
	heartbeat, imds := time.NewTicker(clocks.heartbeat), time.NewTicker(clocks.imds)
	prices, commands, config := time.NewTicker(clocks.prices), time.NewTicker(clocks.commands), time.NewTicker(
		clocks.config)
	for _, t := range []*time.Ticker{heartbeat, imds, prices, commands, config} {
		defer t.Stop()
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-heartbeat.C:
			p.heartbeat(ctx, "online")
		case <-prices.C:
			p.reportPrices(ctx)
		case <-commands.C:
			_ = p.w.api.call(ctx, "GET", p.path("/pending-commands"), p.m.token, nil, nil)
		case <-config.C:
			_ = p.w.api.call(ctx, "GET", p.path("/config"), p.m.token, nil, nil)
		case <-imds.C:
			if p.lookAtMetadata(ctx) {
				p.goodbye() //nolint:contextcheck // it is said when the agent's own time is over
				return nil
			}
		}
	}
}

func (p *agentProcess) path(rest string) string { return "/api/agents/" + p.agentID + rest }

func (p *agentProcess) register(ctx context.Context) error {
	var answer struct {
		AgentID string `json:"agent_id"`
	}
	err := p.w.api.call(ctx, "POST", "/api/agents/register", p.m.token, map[string]any{
		"client_token":     p.m.token,
		"hostname":         p.m.name + "-" + p.instanceID[len(p.instanceID)-4:],
		"instance_id":      p.instanceID,
		"instance_type":    p.meta.InstanceType,
		"region":           p.meta.Region,
		"az":               p.meta.AvailabilityZone,
		"ami_id":           p.meta.ImageID,
		"agent_version":    "4.0.0",
		"logical_agent_id": p.m.name,
		"mode":             p.mode(),
		"private_ip":       p.meta.LocalIPv4,
		"public_ip":        nil,
	}, &answer)
	p.agentID = answer.AgentID
	if err == nil {
		p.w.registered(p.m, answer.AgentID)
	}
	return err
}

func (p *agentProcess) mode() string {
	if p.meta.LifeCycle == "spot" {
		return "spot"
	}
	return "ondemand"
}

func (p *agentProcess) heartbeat(ctx context.Context, status string) {
	_ = p.w.api.call(ctx, "POST", p.path("/heartbeat"), p.m.token, map[string]any{
		"status":              status,
		"instance_id":         p.instanceID,
		"instance_type":       p.meta.InstanceType,
		"mode":                p.mode(),
		"az":                  p.meta.AvailabilityZone,
		"monitored_instances": []string{p.instanceID},
	}, nil)
}

// goodbye is the last thing a replaced agent says.
func (p *agentProcess) goodbye() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = p.w.api.call(ctx, "POST", p.path("/heartbeat"), p.m.token, map[string]any{
		"status":              "offline",
		"monitored_instances": []string{},
	}, nil)
}

// lookAtMetadata tells the backend of a signal and says whether a failover has
// made this process superfluous.
func (p *agentProcess) lookAtMetadata(ctx context.Context) (replaced bool) {
	meta, err := p.w.sim.Metadata(ctx, p.instanceID)
	if err != nil {
		return false
	}
	if meta.Rebalance != nil && !p.reportedRebalance {
		p.reportedRebalance = true
		_ = p.w.api.call(ctx, "POST", p.path("/create-emergency-replica"), p.m.token,
			map[string]any{"signal_type": "rebalance-recommendation", "instance_id": p.instanceID}, nil)
		_ = p.w.api.call(ctx, "POST", p.path("/rebalance-recommendation"), p.m.token,
			map[string]any{
				"instance_id": p.instanceID,
				"detected_at": time.Now().UTC().Format("2006-01-02T15:04:05.000000+00:00"),
			}, nil)
	}
	if meta.Spot != nil && !p.reportedNotice {
		p.reportedNotice = true
		return p.reportNotice(ctx, meta.Spot.Time)
	}
	return false
}

func (p *agentProcess) reportNotice(ctx context.Context, at time.Time) (replaced bool) {
	end := at.UTC().Format(time.RFC3339)
	_ = p.w.api.call(ctx, "POST", p.path("/create-emergency-replica"), p.m.token,
		map[string]any{"signal_type": "termination-notice", "instance_id": p.instanceID, "termination_time": end}, nil)
	var answer struct {
		Success       bool   `json:"success"`
		Action        string `json:"action"`
		NewInstanceID string `json:"new_instance_id"`
	}
	sent := time.Now()
	err := p.w.api.call(ctx, "POST", p.path("/termination-imminent"), p.m.token, map[string]any{
		"instance_id":      p.instanceID,
		"termination_time": end,
		"detected_at":      sent.UTC().Format("2006-01-02T15:04:05.000000+00:00"),
	}, &answer)
	took := time.Since(sent).Round(time.Millisecond)
	switch {
	case !p.w.firstTime(p.instanceID):
		// Its supervisor started it again on the interrupted machine; the answer is the
		// same, and was told.
	case err != nil:
		p.w.say(p.m, "its notice was answered with trouble after %s: %v", took, err)
	case answer.Action == "replica_promoted":
		p.w.say(p.m, "the notice was answered in %s: %s is the primary now, with %s to spare", took,
			answer.NewInstanceID, time.Until(at).Round(time.Second))
	case answer.Action == "failover_in_progress":
		p.w.say(p.m, "the notice was answered in %s: the failover is under way", took)
	}
	return err == nil && answer.Success
}

func (p *agentProcess) reportPrices(ctx context.Context) {
	pools, err := p.m.prices(ctx, p.meta.Region, p.meta.InstanceType)
	if err != nil || len(pools) == 0 {
		return
	}
	cheapest := pools[0]
	var current any
	list := make([]map[string]any, 0, len(pools))
	for _, q := range pools {
		if q.price < cheapest.price {
			cheapest = q
		}
		if q.az == p.meta.AvailabilityZone && p.mode() == "spot" {
			current = q.price
		}
		list = append(list, map[string]any{
			"pool_id":       q.pool,
			"instance_type": p.meta.InstanceType,
			"az":            q.az,
			"price":         q.price,
		})
	}
	_ = p.w.api.call(ctx, "POST", p.path("/pricing-report"), p.m.token, map[string]any{
		"instance": map[string]any{
			"instance_id":   p.instanceID,
			"instance_type": p.meta.InstanceType,
			"region":        p.meta.Region,
			"az":            p.meta.AvailabilityZone,
			"mode":          p.mode(),
			"pool_id":       p.meta.InstanceType + "." + p.meta.AvailabilityZone,
		},
		"pricing": map[string]any{"on_demand_price": p.w.onDemand(p.meta.InstanceType), "current_spot_price": current,
			"cheapest_pool": map[string]any{"pool_id": cheapest.pool, "price": cheapest.price}, "spot_pools": list,
			"collected_at": time.Now().UTC().Format("2006-01-02T15:04:05.000000+00:00")},
	}, nil)
}
