package box

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"

	"spotkeeper/internal/box/controlplane"
)

// keepRegistered registers once the workload is ready, and again when it is asked to:
// the control plane takes a registration as proof that an instance can be used, so a
// standby whose workload still starts must not register. A notice does not wait for it.
func (a *Agent) keepRegistered(ctx context.Context) {
	if !a.awaitReady(ctx) {
		return
	}
	for pause := time.Second; ; {
		err := a.registerNow(ctx)
		a.registeredNow(err)
		if err != nil {
			a.log.WarnContext(ctx, "the agent is not registered", "error", err, "what_to_do",
				controlplane.Explain(a.s.API, err).Mend)
			if !wait(ctx, jitter(pause), a.register) {
				return
			}
			pause = min(2*pause, time.Minute)
			continue
		}
		pause = time.Second
		select {
		case <-ctx.Done():
			return
		case <-a.register:
		}
	}
}

// awaitReady returns when the workload is ready, or when a notice has to be reported.
func (a *Agent) awaitReady(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-a.readyNow():
	case <-a.register:
	}
	return true
}

// registeredNow keeps why the agent is not registered, for its status.
func (a *Agent) registeredNow(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.joinErr = ""; err != nil {
		a.joinErr = controlplane.Explain(a.s.API, err).Error()
	}
}

func (a *Agent) registerNow(ctx context.Context) error {
	a.mu.Lock()
	id, logical := a.state.Identity, a.state.LogicalID
	a.mu.Unlock()
	r := controlplane.Registration{
		LogicalID:    logical,
		Hostname:     hostname(),
		InstanceID:   id.InstanceID,
		InstanceType: id.InstanceType,
		Region:       id.Region,
		AZ:           id.Zone,
		ImageID:      orUnknown(id.ImageID),
		Mode:         mode(id.Spot()),
		Version:      a.version,
		PrivateIP:    orUnknown(id.PrivateIP),
	}
	if id.PublicIP != "" {
		r.PublicIP = &id.PublicIP
	}
	got, err := a.introduce(ctx, r)
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.state.AgentID, a.state.ClientID, a.state.RegisteredAt = got.AgentID, got.ClientID, time.Now()
	a.mu.Unlock()
	a.saveState()
	a.log.InfoContext(ctx, "the agent is registered", "agent_id", got.AgentID, "logical_id", logical,
		"instance_id", id.InstanceID)
	return nil
}

// askToRegister has keepRegistered do so soon.
func (a *Agent) askToRegister() {
	select {
	case a.register <- struct{}{}:
	default:
	}
}

// heartbeats reports that the agent runs, at an interval with a little jitter, so that a
// fleet that was started together does not call together.
func (a *Agent) heartbeats(ctx context.Context) {
	for {
		if agentID, err := a.registered(); err == nil {
			token, err := a.plane.Heartbeat(ctx, agentID, a.heartbeat())
			a.beat(err)
			switch {
			case err == nil:
				a.useToken(token)
			case controlplane.IsStatus(err, http.StatusNotFound):
				a.askToRegister() // the control plane does not know the agent any more
			case controlplane.IsStatus(err, http.StatusUnauthorized):
				a.dropToken()
			}
		}
		pause := a.s.Heartbeat
		if _, err := a.registered(); err != nil {
			pause = min(pause, time.Second)
		}
		if !wait(ctx, jitter(pause), nil) {
			return
		}
	}
}

func (a *Agent) heartbeat() controlplane.Heartbeat {
	a.mu.Lock()
	defer a.mu.Unlock()
	id := a.state.Identity
	return controlplane.Heartbeat{
		Status: "online", Monitored: []string{id.InstanceID}, InstanceID: id.InstanceID,
		InstanceType: id.InstanceType, AZ: id.Zone, Mode: mode(id.Spot()), Version: a.version,
	}
}

func (a *Agent) beat(err error) {
	a.mu.Lock()
	before := a.beatErr
	if a.beatErr = ""; err != nil {
		a.beatErr = controlplane.Explain(a.s.API, err).Error()
	} else {
		a.lastBeat = time.Now()
	}
	a.mu.Unlock()
	switch {
	case err != nil && before == "":
		a.log.Warn("a heartbeat was lost", "error", err)
	case err == nil && before != "":
		a.log.Info("heartbeats arrive again")
	}
}

func mode(spot bool) string {
	if spot {
		return "spot"
	}
	return "ondemand"
}

func orUnknown(text string) string {
	if text == "" {
		return "unknown"
	}
	return text
}

// jitter is a tenth around d.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64())) //nolint:gosec // not a secret
}

// wait returns true after d, or at once when early says something; false when ctx ends.
func wait(ctx context.Context, d time.Duration, early <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-early:
	}
	return true
}
