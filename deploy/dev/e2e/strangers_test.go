package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/devtest"
	simclient "spotkeeper/internal/ec2sim/client"
)

// TestStrangersLiveOn names an instance of another account's owner by each way that an agent has,
// in an account that two clients share and from one account to another, and then does
// what would end it or copy it. The stranger runs on without our tags, nothing is
// launched, and the state, the operation and the events say why.
func TestStrangersLiveOn(t *testing.T) {
	t.Parallel()
	s := devtest.Start(t, devtest.Options{})
	ctx := deadline(t, 10*time.Minute)
	b := openBooks(t, s)
	victim := newFleet(t, s, newTenant(t, s)) // with an account of its own
	for name, attacker := range map[string]*fleet{
		"another account": newFleet(t, s, newTenantOf(t, s, "control-plane")),
		"our account":     newFleet(t, s, sharedTenant(ctx, t, s, "shared")),
		"no account":      newFleet(t, s, homeless(ctx, t, s, "homeless")),
	} {
		strangers := map[string]func() string{"of the victim": func() string { return mustLaunch(ctx, t, victim) }}
		if name != "another account" {
			strangers["without tags in our account"] = func() string {
				return mustLaunch(ctx, t,
					newFleet(t, s, tenant{}))
			}
		}
		for whose, launch := range strangers {
			for way, attack := range attacks {
				t.Run(name+"/"+whose+"/"+way, func(t *testing.T) {
					t.Parallel()
					stranger := launch()
					at, err := attacker.marked(ctx, way, zones[0])
					require.NoError(t, err)
					m := &member{fleet: attacker, name: name + " " + whose + " " + way}
					if way == "as the primary" {
						at = stranger
					}
					require.NoError(t, m.register(ctx, at, zones[0]))
					if name != "no account" && at != stranger {
						awaitProof(ctx, t, b, at, "adopted")
					}
					attack(ctx, t, m, at, stranger)
					b.requireUntouched(ctx, t, m, at, stranger)
				})
			}
		}
	}
}

// requireUntouched waits until the agent's operations are over, and requires that the
// stranger runs without our tags and that nothing was launched for the agent.
func (b *books) requireUntouched(ctx context.Context, t *testing.T, m *member, at, stranger string) {
	t.Helper()
	require.NoError(t, until(ctx, again, func() (bool, error) {
		open, err := b.list(
			ctx,
			`
				SELECT id
				FROM operations
				WHERE agent_id = $1 AND state = 'running' AND kind <> 'adoption' AND kind <> 'termination'`,
			m.id,
		)
		if err == nil && len(open) == 0 {
			return true, nil
		}
		return false, fmt.Errorf("open are %v: %w", open, err)
	}))
	proofs, err := b.list(ctx, `SELECT proof FROM instances WHERE id = $1 AND proof <> 'unproven'`, stranger)
	require.NoError(t, err)
	require.Empty(t, proofs)
	found := instances(ctx, t, m.fleet)
	require.Equal(t, "running", found[stranger].State)
	require.Empty(t, found[stranger].Tags["managed-by"])
	for id, i := range found {
		require.True(t, i.Tags["spotkeeper:agent"] != m.id || id == at, "%s was launched", id)
	}
}

// attacks are what a tenant's token, or one stolen from an instance, could try.
var attacks = map[string]func(ctx context.Context, t *testing.T, m *member, at, stranger string){
	"as the primary": func(ctx context.Context, t *testing.T, m *member, _, stranger string) {
		awaitUnproven(ctx, t, m)
		answer := map[string]any{}
		require.NoError(t, m.insist(ctx, "POST", m.path("/termination-imminent"),
			map[string]any{"instance_id": stranger}, &answer))
		require.Equal(t, "unproven", answer["action"])
		err := m.forceSwitch(ctx, stranger, zones[0])
		if err == nil { // ordered: the Guardian refuses it
			err = &refusal{}
		}
		require.True(t, refused(err), "%v", err)
		require.NoError(t, m.insist(ctx, "DELETE", "/api/client/agents/"+m.id, nil, nil))
	},
	"as a replica": func(ctx context.Context, t *testing.T, m *member, _, stranger string) {
		var made struct {
			ID string `json:"replica_id"`
		}
		require.NoError(t, m.insist(ctx, "POST", m.path("/replicas"), map[string]any{
			"instance_id":  stranger,
			"replica_type": "emergency",
			"pool_id":      machine + "." + zones[1],
			"status":       "ready",
		}, &made))
		require.NoError(t, m.insist(ctx, "DELETE", m.path("/replicas/"+made.ID), nil, nil))
	},
	"as a successor": func(ctx context.Context, t *testing.T, m *member, at, stranger string) {
		var made struct {
			ID string `json:"replica_id"`
		}
		require.NoError(t, m.insist(ctx, "POST", m.path("/replicas"), map[string]any{
			"instance_id":  stranger,
			"replica_type": "emergency",
			"pool_id":      machine + "." + zones[1],
			"status":       "ready",
		}, &made))
		err := m.insist(ctx, "POST", m.path("/replicas/"+made.ID+"/promote"), map[string]any{}, nil)
		before, read := m.state(ctx)
		require.NoError(t, read)
		if before.Primary.ID == at && before.Primary.Proof != "unproven" {
			var r *refusal
			require.ErrorAs(t, err, &r, "an agent's word replaces no proven primary")
			require.Equal(t, "instance.unproven", r.Code)
			require.NoError(t, m.insist(ctx, "DELETE", "/api/client/agents/"+m.id, nil, nil))
			return
		}
		require.NoError(t, err)
		_, err = m.awaitMove(ctx, at)
		require.NoError(t, err)
		require.NoError(t, m.insist(ctx, "DELETE", "/api/client/agents/"+m.id, nil, nil))
		require.Equal(t, "running", instances(ctx, t, m.fleet)[at].State,
			"what a stranger replaced is left to its agent")
	},
	"through PUT of a replica's instance": func(ctx context.Context, t *testing.T, m *member, at, stranger string) {
		var made struct {
			ID string `json:"replica_id"`
		}
		bind := func(id, instance string) error {
			return m.insist(ctx, "PUT", m.path("/replicas/"+id), map[string]any{"instance_id": instance, "status": "ready"}, nil)
		}
		require.NoError(t, m.insist(ctx, "POST", m.path("/replicas"), map[string]any{
			"instance_id": stranger, "replica_type": "emergency", "pool_id": machine + "." + zones[1], "status": "launching",
		}, &made))
		require.NoError(t, bind(made.ID, stranger))
		require.True(t, refused(bind(made.ID, at)), "a replica keeps its instance")
		require.NoError(t, m.insist(ctx, "POST", m.path("/replicas/"+made.ID+"/status"),
			map[string]any{"status": "ready"}, nil))
		require.NoError(t, m.insist(ctx, "DELETE", m.path("/replicas/"+made.ID), nil, nil))
	},
	"through reports": func(ctx context.Context, t *testing.T, m *member, at, stranger string) {
		require.NoError(t, m.insist(ctx, "POST", m.path("/heartbeat"), map[string]any{
			"status": "online", "instance_id": stranger, "instance_type": machine, "az": zones[1], "mode": "spot",
			"monitored_instances": []string{at, stranger},
		}, nil))
		require.NoError(t, m.reportPrices(ctx, stranger))
		require.NoError(t, m.insist(ctx, "POST", m.path("/rebalance-recommendation"),
			map[string]any{"instance_id": stranger}, nil))
		err := m.insist(ctx, "POST", m.path("/termination-imminent"), map[string]any{"instance_id": stranger}, nil)
		require.True(t, err == nil || refused(err), "%v", err)
		require.NoError(t, m.insist(ctx, "POST", m.path("/cleanup-report"), map[string]any{
			"timestamp": time.Now().UTC().Format(time.RFC3339), "type": "full",
			"snapshots": map[string]any{"deleted": []string{stranger}, "failed": []string{}},
		}, nil))
		require.NoError(t, m.insist(ctx, "DELETE", "/api/client/agents/"+m.id, nil, nil))
	},
	"in a switch report": func(ctx context.Context, t *testing.T, m *member, at, stranger string) {
		require.NoError(t, m.reportSwitch(ctx, at, stranger))
		_, err := m.awaitMove(ctx, at)
		require.NoError(t, err)
		require.NoError(t, m.insist(ctx, "DELETE", "/api/client/agents/"+m.id, nil, nil))
	},
}

// sharedTenant is a client that an operator lets live in our own account.
func sharedTenant(ctx context.Context, t *testing.T, s *devtest.Stack, name string) tenant {
	t.Helper()
	who, err := s.NewTenant(ctx, t.Name()+" "+name, map[string]any{"role_arn": "", "own_account": true})
	require.NoError(t, err)
	who.Account = ""
	return who
}

// homeless is a client that has no account yet.
func homeless(ctx context.Context, t *testing.T, s *devtest.Stack, name string) tenant {
	t.Helper()
	who, err := s.NewTenant(ctx, t.Name()+" "+name, map[string]any{"role_arn": ""})
	require.NoError(t, err)
	who.Account = ""
	return who
}

func mustLaunch(ctx context.Context, t *testing.T, f *fleet) string {
	t.Helper()
	id, err := f.machine(ctx, "stranger", zones[1])
	require.NoError(t, err)
	return id
}

func instances(ctx context.Context, t *testing.T, f *fleet) map[string]simclient.InstanceInfo {
	t.Helper()
	state, err := f.sim.State(ctx)
	require.NoError(t, err)
	out := map[string]simclient.InstanceInfo{}
	for _, i := range state.Instances {
		out[i.InstanceID] = i
	}
	return out
}

// awaitUnproven waits until EC2 was asked about the agent's primary, and says why it is
// not looked after.
func awaitUnproven(ctx context.Context, t *testing.T, m *member) {
	t.Helper()
	_, err := m.await(ctx, "its primary is unproven", func(s *agentState) bool {
		return s.Primary.Proof == "unproven" && s.Primary.Unproven.Cause != "waiting" && s.Primary.Unproven.Repair != ""
	})
	require.NoError(t, err)
}

func awaitProof(ctx context.Context, t *testing.T, b *books, instance, proof string) {
	t.Helper()
	require.NoError(t, until(ctx, again, func() (bool, error) {
		found, err := b.list(ctx, `SELECT proof FROM instances WHERE id = $1`, instance)
		if len(found) == 1 && found[0] == proof {
			return true, nil
		}
		return false, fmt.Errorf("%s is %v: %w", instance, found, err)
	}))
}
