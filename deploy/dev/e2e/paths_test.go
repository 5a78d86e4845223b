package e2e

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	simclient "spotkeeper/internal/ec2sim/client"
)

// lead is the time between an instance's notice and its end; AWS gives two minutes.
const lead = 12 * time.Second

// controlPlanePaths are the ways of agents whose instances the product launches.
var controlPlanePaths = []path{
	{"foretold", func(ctx context.Context, m *member, at string) error {
		if err := m.emergency(ctx, "rebalance-recommendation", at); err != nil {
			return err
		}
		if _, _, err := m.awaitReady(ctx); err != nil {
			return err
		}
		return m.lose(ctx, at, lead)
	}},
	{"out of the blue, first pools full", func(ctx context.Context, m *member, at string) error {
		if err := m.sim.AddFault(ctx, simclient.Fault{
			Action: "RunInstances",
			Code:   "InsufficientInstanceCapacity",
			Times:  3,
		}); err != nil {
			return err
		}
		return m.lose(ctx, at, lead)
	}},
	{"too late", func(ctx context.Context, m *member, at string) error { return m.lose(ctx, at, time.Second) }},
	{"both signals", func(ctx context.Context, m *member, at string) error {
		if err := m.emergency(ctx, "termination-notice", at); err != nil {
			return err
		}
		return m.lose(ctx, at, lead)
	}},
	{"false alarm", func(ctx context.Context, m *member, at string) error {
		if err := m.emergency(ctx, "rebalance-recommendation", at); err != nil {
			return err
		}
		if _, _, err := m.awaitReady(ctx); err != nil {
			return err
		}
		return m.awaitAlone(ctx)
	}},
	{"manual mode", manualMode},
	{"a standby that ends", func(ctx context.Context, m *member, _ string) error {
		first, err := m.standby(ctx, "")
		if err != nil {
			return err
		}
		if err := m.sim.Interrupt(ctx, first.instance, simclient.Terminate, 0); err != nil {
			return err
		}
		if _, err = m.standby(ctx, first.id); err != nil {
			return err
		}
		return m.remove(ctx)
	}},
	{"promotion of one that starts", func(ctx context.Context, m *member, at string) error {
		r, err := m.starting(ctx)
		if err != nil {
			return err
		}
		if err := m.insist(ctx, "POST", m.path("/replicas/"+r.id+"/promote"), map[string]any{
			"demote_old_primary": false,
			"wait_for_sync":      true,
		}, nil); err != nil {
			return err
		}
		if err := m.sim.Impair(ctx, r.instance, false); err != nil {
			return err
		}
		_, err = m.awaitMove(ctx, at)
		return err
	}},
	{"promotion called off", func(ctx context.Context, m *member, _ string) error {
		r, err := m.starting(ctx)
		if err != nil {
			return err
		}
		if err := m.insist(ctx, "POST", m.path("/replicas/"+r.id+"/promote"), map[string]any{"wait_for_sync": true},
			nil); err != nil {
			return err
		}
		if err := m.cancel(ctx, "promotion/"+r.id); err != nil {
			return err
		}
		if err := m.sim.Impair(ctx, r.instance, false); err != nil {
			return err
		}
		return m.remove(ctx)
	}},
	{"replica called off", func(ctx context.Context, m *member, at string) error {
		if err := m.emergency(ctx, "rebalance-recommendation", at); err != nil {
			return err
		}
		_, id, err := m.awaitReady(ctx)
		if err != nil {
			return err
		}
		if err := m.cancel(ctx, "replica/"+id); err != nil {
			return err
		}
		_, err = m.await(ctx, "the replica is gone", func(s *agentState) bool { // the next one may be there at once
			return !s.has(id)
		})
		return err
	}},
	{"switch", func(ctx context.Context, m *member, at string) error {
		if err := m.configure(ctx, map[string]any{"terminateWaitMinutes": 1, "autoTerminateEnabled": true}); err != nil {
			return err
		}
		for { // until an order whose pool is not the one that another path has filled
			if err := m.forceSwitch(ctx, at, zones[0]); err != nil {
				return err
			}
			s, err := m.await(ctx, "its switch has ended", func(s *agentState) bool { return s.Switch == nil })
			if err != nil || s.Primary.ID != at {
				return err
			}
		}
	}},
	{"switch that keeps the old one", func(ctx context.Context, m *member, at string) error {
		if err := m.configure(ctx, map[string]any{"autoTerminateEnabled": false}); err != nil {
			return err
		}
		if err := m.insist(ctx, "POST", "/api/client/instances/"+at+"/force-switch",
			map[string]any{"target": "ondemand"}, nil); err != nil {
			return err
		}
		_, err := m.awaitMove(ctx, at)
		return err
	}},
	{"preempted switch", func(ctx context.Context, m *member, at string) error {
		if err := m.forceSwitch(ctx, at, zones[0]); err != nil {
			return err
		}
		return m.lose(ctx, at, lead)
	}},
	{"switch called off", func(ctx context.Context, m *member, at string) error {
		if err := m.forceSwitch(ctx, at, zones[0]); err != nil {
			return err
		}
		s, err := m.state(ctx)
		if err != nil || s.Switch == nil {
			return err
		}
		if err := m.cancel(ctx, "switch/"+*s.Switch); err != nil {
			return err
		}
		return m.awaitAlone(ctx)
	}},
	{"removal in mid-switch", func(ctx context.Context, m *member, at string) error {
		if err := m.forceSwitch(ctx, at, zones[0]); err != nil {
			return err
		}
		return m.remove(ctx)
	}},
}

// manualMode: a standby is built, promoted both ways, lost, deleted and given up.
func manualMode(ctx context.Context, m *member, at string) error {
	last := ""
	for _, demote := range []bool{true, false} {
		r, err := m.standby(ctx, last)
		if err != nil {
			return err
		}
		if err := m.insist(ctx, "POST", m.path("/replicas/"+r.id+"/promote"),
			map[string]any{"demote_old_primary": demote}, nil); err != nil {
			return err
		}
		s, err := m.awaitMove(ctx, at)
		if err != nil {
			return err
		}
		last, at = r.id, s.Primary.ID
	}
	r, err := m.standby(ctx, last)
	if err != nil {
		return err
	}
	if err := m.lose(ctx, at, lead); err != nil {
		return err
	}
	if r, err = m.standby(ctx, r.id); err != nil {
		return err
	}
	if err := m.insist(ctx, "DELETE", m.path("/replicas/"+r.id), nil, nil); err != nil {
		return err
	}
	if _, err = m.standby(ctx, r.id); err != nil {
		return err
	}
	if err := m.configure(ctx, map[string]any{"manualReplicaEnabled": false}); err != nil {
		return err
	}
	return m.awaitAlone(ctx)
}

// lose has AWS take an instance, and waits until the agent lives elsewhere.
func (m *member) lose(ctx context.Context, at string, before time.Duration) error {
	if _, err := m.notice(ctx, at, before); err != nil && !refused(err) {
		return err
	}
	_, err := m.awaitMove(ctx, at)
	return err
}

// stander is a replica.
type stander struct{ id, instance string }

// standby turns manual mode on and waits for a standby that is another than one.
func (m *member) standby(ctx context.Context, than string) (r stander, err error) {
	if err := m.configure(ctx, map[string]any{"manualReplicaEnabled": true}); err != nil {
		return r, err
	}
	_, err = m.await(ctx, "another standby is ready", func(s *agentState) bool {
		for _, x := range s.Replicas {
			if x.State == "ready" && x.ID != than {
				r = stander{x.ID, x.InstanceID}
			}
		}
		return r.id != ""
	})
	return r, err
}

// starting turns manual mode on and catches the standby while it starts.
func (m *member) starting(ctx context.Context) (r stander, err error) {
	if err := m.configure(ctx, map[string]any{"manualReplicaEnabled": true}); err != nil {
		return r, err
	}
	impaired := false
	_, err = m.await(ctx, "a standby runs", func(s *agentState) bool {
		for _, x := range s.Replicas {
			if x.InstanceID != "" && !impaired {
				impaired = m.sim.Impair(ctx, x.InstanceID, true) == nil
			}
			if x.State == "running" {
				r = stander{x.ID, x.InstanceID}
			}
		}
		return r.id != ""
	})
	return r, err
}

// awaitAlone waits until the agent has no replica and no switch.
func (m *member) awaitAlone(ctx context.Context) error {
	_, err := m.await(ctx, "nothing stands by", func(s *agentState) bool {
		return len(s.Replicas) == 0 &&
			s.Switch == nil
	})
	return err
}

// cancel calls an operation off, as soon as it has a page.
func (m *member) cancel(ctx context.Context, operation string) error {
	return until(ctx, again, func() (bool, error) {
		err := m.insist(ctx, "POST", "/api/operations/"+url.PathEscape(operation)+"/cancel", map[string]any{}, nil)
		r, is := errors.AsType[*refusal](err)
		return !is || r.Status != http.StatusNotFound, err
	})
}

func (m *member) remove(ctx context.Context) error {
	return m.insist(ctx, "DELETE", "/api/client/agents/"+m.id, nil, nil)
}
