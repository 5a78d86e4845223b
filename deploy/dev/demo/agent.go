package demo

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"spotkeeper/internal/box"
	"spotkeeper/internal/box/settings"
	"spotkeeper/internal/box/spool"
	simclient "spotkeeper/internal/ec2sim/client"
)

// clocks are the agents' timers. Their defaults are longer; a demo of one minute needs
// quicker ones.
var clocks = struct{ heartbeat, imds, prices, look, retry time.Duration }{
	heartbeat: 5 * time.Second, imds: time.Second, prices: 20 * time.Second, look: 500 * time.Millisecond,
	retry: 2 * time.Second,
}

// version is the one that the demo's agents name.
const version = "5.0.0-demo"

// agentProcess is the agent of package box on one instance: what deploy/agent runs, in this
// process, at the instance's own metadata service. Beside it the demo reports prices, as
// the legacy agents do, so that the charts move while one looks.
type agentProcess struct {
	w          *world
	m          *member
	instanceID string
	meta       simclient.Metadata
	agentID    string
}

// run is one life of the agent. It returns when ctx ends, which is when the instance ends.
func (p *agentProcess) run(ctx context.Context) (err error) {
	if p.meta, err = p.w.sim.Metadata(ctx, p.instanceID); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "spotkeeper-demo-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	// The narrator says in words what the agent logs.
	agent, err := box.New(p.settings(dir), version, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	life, stop := context.WithCancel(ctx)
	var looking sync.WaitGroup
	looking.Go(func() { p.look(life, agent) })
	err = agent.Run(ctx)
	stop()
	looking.Wait()
	return cmp.Or(err, ctx.Err())
}

func (p *agentProcess) settings(dir string) settings.Settings {
	s := settings.Default()
	s.API, s.AgentID = p.w.o.API, p.m.name
	s.Join.Method, s.Join.Token = settings.ClientToken, settings.Secret(p.m.token)
	s.IMDS.Endpoint, s.IMDS.Poll = p.w.o.EC2+"/_sim/imds/"+p.instanceID, clocks.imds
	s.Heartbeat = clocks.heartbeat
	s.StateDir, s.Socket, s.Hooks.Dir = dir, filepath.Join(dir, "agent.sock"), filepath.Join(dir, "hooks.d")
	return s
}

// look follows the agent's status, and says what its notices were answered.
func (p *agentProcess) look(ctx context.Context, agent *box.Agent) {
	tick := time.NewTicker(clocks.look)
	defer tick.Stop()
	var reported time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := agent.Status()
		if now.AgentID == "" {
			continue
		}
		if p.agentID != now.AgentID {
			p.agentID = now.AgentID
			p.w.registered(p.m, now.AgentID)
		}
		if time.Since(reported) > clocks.prices {
			reported = time.Now()
			p.reportPrices(ctx)
		}
		for _, n := range now.Notices {
			if n.Kind == spool.Termination && n.Answer != nil && n.Answer.Final && p.w.firstTime(p.instanceID) {
				p.sayAnswer(n)
			}
		}
	}
}

func (p *agentProcess) sayAnswer(n spool.Notice) {
	took := n.Answer.At.Sub(n.DetectedAt).Round(time.Millisecond)
	switch {
	case n.Answer.Refused != "":
		p.w.say(p.m, "its notice was refused after %s: %s", took, n.Answer.Refused)
	case n.Answer.NewInstanceID != "":
		p.w.say(p.m, "the notice was answered in %s: %s is the primary now, with %s to spare", took,
			n.Answer.NewInstanceID, n.Deadline.Sub(n.Answer.At).Round(time.Second))
	default:
		p.w.say(p.m, "the notice was answered in %s: %s", took, n.Answer.Action)
	}
}

func (p *agentProcess) path(rest string) string { return "/api/agents/" + p.agentID + rest }

func (p *agentProcess) mode() string {
	if p.meta.LifeCycle == "spot" {
		return "spot"
	}
	return "ondemand"
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
