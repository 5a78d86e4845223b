package demo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	simclient "spotkeeper/internal/ec2sim/client"
)

// settle is how long the fleet gets to register before the first story.
const settle = time.Minute

// state is what GET /api/client/agents/{id}/state says, as far as the stories need it.
type state struct {
	Primary struct {
		ID     string `json:"id"`
		PoolID string `json:"pool_id"`
	} `json:"primary"`
	Replicas []struct {
		ID     string `json:"id"`
		Status string `json:"status"`
	} `json:"replicas"`
}

// playStories waits for the fleet and then plays the stories in turn: first each once,
// quickly, then for ever, slowly.
func (w *world) playStories(ctx context.Context) error {
	w.say(nil, "six agents of two clients are starting on simulated instances")
	if err := w.awaitFleet(ctx); err != nil {
		return err
	}
	w.say(nil, "all six agents are registered and report heartbeats and prices")
	stories := []func(context.Context) error{w.manualMode, w.falseAlarm, w.rebalanceFirst, w.outOfTheBlue, w.movedByHand,
		w.standbyTakesOver, w.nowhereToGo, w.leftOver}
	for pause := 4 * time.Second; ; pause = 45 * time.Second {
		for _, story := range stories {
			if err := story(ctx); err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				w.say(nil, "a story was cut short: %v", err)
			}
			if err := wait(ctx, pause); err != nil {
				return err
			}
		}
		if w.o.Once {
			return nil
		}
		w.say(nil, "every story was told once; they go on in turn")
	}
}

// manualMode: one standby, always; a person promotes it, the old primary becomes
// the standby.
func (w *world) manualMode(ctx context.Context) error {
	m := w.named("warehouse")
	w.say(m, "its owner turns manual replicas on: exactly one standby, always")
	if err := w.keep(ctx, m, true); err != nil {
		return err
	}
	if err := w.keep(ctx, w.named("reports"), true); err != nil {
		return err
	}
	replica, err := w.awaitReady(ctx, m)
	if err != nil {
		return err
	}
	w.say(m, "its standby is ready; the owner promotes it and keeps the old primary as the standby")
	return w.api.call(ctx, http.MethodPost, "/api/agents/"+m.agent()+"/replicas/"+replica+"/promote", m.token,
		map[string]any{"demote_old_primary": true}, nil)
}

// falseAlarm: AWS recommends to leave and nothing follows; the replica stands
// down after its hold.
func (w *world) falseAlarm(ctx context.Context) error {
	m := w.named("checkout")
	at, err := w.primary(ctx, m)
	if err != nil {
		return err
	}
	w.say(m, "AWS sends a rebalance recommendation for %s in %s; nothing will come of it", at.Primary.ID,
		at.Primary.PoolID)
	return w.sim.Interrupt(ctx, at.Primary.ID, simclient.Rebalance, 0)
}

// rebalanceFirst: a rebalance, time for a replica, then the notice.
func (w *world) rebalanceFirst(ctx context.Context) error {
	m := w.named("search")
	at, err := w.primary(ctx, m)
	if err != nil {
		return err
	}
	w.say(m, "AWS sends a rebalance recommendation for %s in %s; this time it is serious", at.Primary.ID,
		at.Primary.PoolID)
	if err := w.sim.Interrupt(ctx, at.Primary.ID, simclient.Rebalance, 0); err != nil {
		return err
	}
	if _, err := w.awaitReady(ctx, m); err != nil {
		return err
	}
	return w.notice(ctx, m, at.Primary.ID)
}

// outOfTheBlue: no warning, no replica, and the first pool has no capacity.
func (w *world) outOfTheBlue(ctx context.Context) error {
	m := w.named("gateway")
	at, err := w.primary(ctx, m)
	if err != nil {
		return err
	}
	for _, zone := range []string{"us-east-1a", "us-east-1b", "us-east-1c"} {
		if _, err := w.sim.SetCapacity(ctx, simclient.Capacity{
			Pool:   m.instanceType + "." + zone,
			Market: simclient.Spot,
			Limit:  0,
		}); err != nil {
			return err
		}
	}
	w.say(m, "zones a, b and c run out of %s; there is no replica and no warning", m.instanceType)
	if err := w.notice(ctx, m, at.Primary.ID); err != nil {
		return err
	}
	if err := w.awaitMove(ctx, m, at.Primary.ID); err != nil {
		return err
	}
	_, err = w.sim.SetCapacity(ctx, simclient.Capacity{Pool: m.instanceType + ".*", Market: simclient.Spot, Limit: -1})
	return err
}

// movedByHand moves an agent to another pool on a person's order.
func (w *world) movedByHand(ctx context.Context) error {
	m := w.named("etl")
	at, err := w.primary(ctx, m)
	if err != nil {
		return err
	}
	pool := m.instanceType + ".us-east-1d"
	if at.Primary.PoolID == pool {
		pool = m.instanceType + ".us-east-1b"
	}
	w.say(m, "its owner moves it from %s to %s", at.Primary.PoolID, pool)
	return w.api.call(ctx, http.MethodPost, "/api/client/instances/"+at.Primary.ID+"/force-switch", m.token,
		map[string]any{"target": "pool", "pool_id": pool}, nil)
}

// nowhereToGo orders a move into a pool that has run out: the operation fails, its page
// says why, and the agent stays where it is.
func (w *world) nowhereToGo(ctx context.Context) error {
	m := w.named("etl")
	at, err := w.primary(ctx, m)
	if err != nil {
		return err
	}
	pool := m.instanceType + ".us-east-1c"
	if at.Primary.PoolID == pool {
		pool = m.instanceType + ".us-east-1a"
	}
	full := simclient.Capacity{Pool: pool, Market: simclient.Spot, Limit: 0}
	if _, err := w.sim.SetCapacity(ctx, full); err != nil {
		return err
	}
	w.say(m, "its owner moves it to %s, which has no capacity: the move will fail and say so", pool)
	var ordered struct {
		Operation string `json:"operation_id"`
	}
	err = w.api.call(ctx, http.MethodPost, "/api/client/instances/"+at.Primary.ID+"/force-switch", m.token,
		map[string]any{"target": "pool", "pool_id": pool}, &ordered)
	if err == nil {
		err = w.awaitEnd(ctx, m, ordered.Operation)
	}
	full.Limit = -1
	_, restored := w.sim.SetCapacity(ctx, full)
	return errors.Join(err, restored)
}

// leftOver: AWS announces an end and does not follow it up. Another instance takes over,
// both are paid, and three minutes after the deadline the operation waits for a person, who
// ends the old instance or keeps it. One waits at a time.
func (w *world) leftOver(ctx context.Context) error {
	m := w.named("warehouse")
	var open struct {
		Operations []struct{} `json:"operations"`
	}
	path := "/api/operations?state=running&kind=termination&agent_id=" + m.agent()
	if err := w.api.call(ctx, http.MethodGet, path, m.token, nil, &open); err != nil || len(open.Operations) > 0 {
		return err
	}
	at, err := w.primary(ctx, m)
	if err != nil {
		return err
	}
	w.say(m, "AWS announces the end of %s and will not take it: in four minutes its operation asks a person "+
		"to end or keep it, on the page Now", at.Primary.ID)
	return w.api.call(ctx, http.MethodPost, "/api/agents/"+m.agent()+"/termination-imminent", m.token,
		map[string]any{
			"instance_id":      at.Primary.ID,
			"termination_time": time.Now().Add(time.Minute).UTC().Format(time.RFC3339),
		}, nil)
}

// awaitEnd waits until an operation has ended and says how.
func (w *world) awaitEnd(ctx context.Context, m *member, operation string) error {
	var got struct {
		State string `json:"state"`
		Code  string `json:"error_code"`
	}
	path := "/api/operations/" + url.PathEscape(operation)
	err := until(ctx, 2*time.Minute, operation+" did not end", func() bool {
		err := w.api.call(ctx, http.MethodGet, path, m.token, nil, &got)
		return err == nil && got.State != "running"
	})
	if err == nil {
		w.say(m, "the move %s (%s) and the agent stays where it is", got.State, got.Code)
	}
	return err
}

// standbyTakesOver: manual mode meets a notice; the standby is promoted at once
// and another one is built.
func (w *world) standbyTakesOver(ctx context.Context) error {
	m := w.named("reports")
	at, err := w.primary(ctx, m)
	if err != nil {
		return err
	}
	if _, err := w.awaitReady(ctx, m); err != nil {
		return err
	}
	return w.notice(ctx, m, at.Primary.ID)
}

func (w *world) notice(ctx context.Context, m *member, instanceID string) error {
	w.say(m, "AWS gives %s two minutes", instanceID)
	return w.sim.Interrupt(ctx, instanceID, simclient.Notice, 0)
}

func (w *world) keep(ctx context.Context, m *member, manual bool) error {
	return w.api.call(ctx, http.MethodPost, "/api/client/agents/"+m.agent()+"/config", m.token,
		map[string]any{"manualReplicaEnabled": manual}, nil)
}

func (w *world) named(name string) *member {
	for _, m := range w.members {
		if m.name == name {
			return m
		}
	}
	return nil
}

func (w *world) primary(ctx context.Context, m *member) (state, error) {
	var s state
	err := w.api.call(ctx, http.MethodGet, "/api/client/agents/"+m.agent()+"/state", m.token, nil, &s)
	if err == nil && s.Primary.ID == "" {
		err = fmt.Errorf("%s has no primary", m.name)
	}
	return s, err
}

func (w *world) awaitFleet(ctx context.Context) error {
	return until(ctx, settle, "the fleet did not register", func() bool {
		for _, m := range w.members {
			if m.agent() == "" {
				return false
			}
		}
		return true
	})
}

// awaitReady waits for a ready replica and returns its id.
func (w *world) awaitReady(ctx context.Context, m *member) (id string, err error) {
	err = until(ctx, time.Minute, m.name+" got no ready replica", func() bool {
		s, err := w.primary(ctx, m)
		if err != nil {
			return false
		}
		for _, r := range s.Replicas {
			if r.Status == "ready" {
				id = r.ID
				return true
			}
		}
		return false
	})
	return id, err
}

func (w *world) awaitMove(ctx context.Context, m *member, from string) error {
	return until(ctx, 2*time.Minute, m.name+" was not moved", func() bool {
		s, err := w.primary(ctx, m)
		return err == nil && s.Primary.ID != from
	})
}

func until(ctx context.Context, patience time.Duration, otherwise string, done func() bool) error {
	end := time.Now().Add(patience)
	for !done() {
		if time.Now().After(end) {
			return errors.New(otherwise)
		}
		if err := wait(ctx, 300*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
