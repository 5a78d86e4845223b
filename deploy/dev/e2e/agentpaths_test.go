package e2e

import (
	"context"
	"errors"
	"time"
)

// agentPaths are the ways of agents that launch for themselves.
var agentPaths = []path{
	{"an agent's switch", func(ctx context.Context, m *member, at string) error {
		command, err := m.ordered(ctx, at)
		if err != nil {
			return err
		}
		next, err := m.machine(ctx, m.name, zones[1])
		if err != nil {
			return err
		}
		if err := m.reportSwitch(ctx, at, next); err != nil {
			return err
		}
		if err := m.executed(ctx, command, true); err != nil {
			return err
		}
		_, err = m.awaitMove(ctx, at)
		return err
	}},
	{"an agent's switch that fails", func(ctx context.Context, m *member, at string) error {
		command, err := m.ordered(ctx, at)
		if err != nil {
			return err
		}
		if err := m.executed(ctx, command, false); err != nil {
			return err
		}
		return m.awaitAlone(ctx)
	}},
	{"an agent's switch, called off", func(ctx context.Context, m *member, at string) error {
		if _, err := m.ordered(ctx, at); err != nil {
			return err
		}
		if _, err := m.notice(ctx, at, lead); err != nil && !refused(err) {
			return err
		}
		next, err := m.machine(ctx, m.name, zones[1])
		if err != nil {
			return err
		}
		if err := m.reportSwitch(ctx, at, next); err != nil {
			return err
		}
		_, err = m.awaitMove(ctx, at)
		return err
	}},
	{"a switch nobody ordered", func(ctx context.Context, m *member, at string) error {
		next, err := m.machine(ctx, m.name, zones[2])
		if err != nil {
			return err
		}
		if err := m.reportSwitch(ctx, at, next); err != nil {
			return err
		}
		_, err = m.awaitMove(ctx, at)
		return err
	}},
	{"an agent's replica", func(ctx context.Context, m *member, at string) error {
		if err := m.emergency(ctx, "rebalance-recommendation", at); err != nil {
			return err
		}
		if err := m.launchReplica(ctx, "ready"); err != nil {
			return err
		}
		if _, _, err := m.awaitReady(ctx); err != nil {
			return err
		}
		return m.lose(ctx, at, lead)
	}},
	{"an agent's replica that fails", func(ctx context.Context, m *member, at string) error {
		if err := m.emergency(ctx, "rebalance-recommendation", at); err != nil {
			return err
		}
		return m.launchReplica(ctx, "failed")
	}},
	{"a replica that the agent reports", func(ctx context.Context, m *member, at string) error {
		next, err := m.machine(ctx, m.name, zones[3])
		if err != nil {
			return err
		}
		if err := m.insist(ctx, "POST", m.path("/replicas"), map[string]any{
			"instance_id":        next,
			"replica_type":       "emergency",
			"parent_instance_id": at,
			"pool_id":            machine + "." + zones[3],
			"status":             "ready",
		}, nil); err != nil {
			return err
		}
		return m.lose(ctx, at, lead)
	}},
	{"removal while the agent is asked to launch", func(ctx context.Context, m *member, at string) error {
		if err := m.emergency(ctx, "rebalance-recommendation", at); err != nil {
			return err
		}
		return m.remove(ctx)
	}},
}

// ordered orders a switch and fetches it as the agent does.
func (m *member) ordered(ctx context.Context, at string) (command string, err error) {
	if err := m.forceSwitch(ctx, at, zones[0]); err != nil {
		return "", err
	}
	return command, until(ctx, again, func() (bool, error) {
		var found []struct{ ID string }
		if err := m.insist(ctx, "GET", m.path("/pending-commands"), nil, &found); err != nil || len(found) == 0 {
			return err != nil, err
		}
		command = found[0].ID
		return true, nil
	})
}

func (m *member) executed(ctx context.Context, command string, success bool) error {
	return m.insist(ctx, "POST", m.path("/commands/"+command+"/executed"),
		map[string]any{"success": success, "message": "as it went"}, nil)
}

func (m *member) reportSwitch(ctx context.Context, from, to string) error {
	now := time.Now().UTC().Format("2006-01-02T15:04:05.000000+00:00")
	one := func(id, zone string) map[string]any {
		return map[string]any{
			"instance_id":   id,
			"instance_type": machine,
			"region":        region,
			"az":            zone,
			"ami_id":        "ami-1",
			"mode":          "spot",
			"pool_id":       machine + "." + zone,
		}
	}
	return m.insist(ctx, "POST", m.path("/switch-report"), map[string]any{
		"old_instance": one(from, zones[0]), "new_instance": one(to, zones[1]), "trigger": "manual",
		"prices": map[string]any{"on_demand": 0.0416, "old_spot": 0.0125, "new_spot": 0.0135},
		"timing": map[string]any{
			"switch_initiated_at":      now,
			"new_instance_launched_at": now,
			"new_instance_ready_at":    now,
			"traffic_switched_at":      now,
		},
	}, nil)
}

// launchReplica launches what the server lists, as the current agent does, and
// reports how that went.
func (m *member) launchReplica(ctx context.Context, status string) error {
	var id string
	err := until(ctx, again, func() (bool, error) {
		var found struct{ Replicas []struct{ ID string } }
		if err := m.insist(ctx, "GET", m.path("/replicas?status=launching"), nil, &found); err != nil {
			return true, err
		}
		if len(found.Replicas) == 0 {
			return false, errors.New("nothing is to be launched")
		}
		id = found.Replicas[0].ID
		return true, nil
	})
	if err != nil {
		return err
	}
	if status == "failed" {
		return m.insist(ctx, "POST", m.path("/replicas/"+id+"/status"), map[string]any{
			"status":        status,
			"error_message": "no capacity",
		}, nil)
	}
	next, err := m.machine(ctx, m.name, zones[1])
	if err != nil {
		return err
	}
	if err := m.insist(ctx, "PUT", m.path("/replicas/"+id), map[string]any{"instance_id": next, "status": "syncing"},
		nil); err != nil {
		return err
	}
	return m.insist(ctx, "POST", m.path("/replicas/"+id+"/status"), map[string]any{"status": status}, nil)
}
