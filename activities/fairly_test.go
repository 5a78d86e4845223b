package activities_test

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/sweeps"
)

// moody is an EC2 in which the account of one client refuses every call, or answers
// none before another client's account was asked. It records what it was asked about.
type moody struct {
	*fakeFleet
	refuses, hangs string        // a client
	others         chan struct{} // closed when another client's account was asked

	asking sync.Mutex
	asked  []string // instances, and client/region for lists
}

func newMoody(w *world) *moody { return &moody{fakeFleet: w.fleet, others: make(chan struct{})} }

func (m *moody) meet(ctx context.Context, a activities.Account, about string) error {
	m.asking.Lock()
	m.asked = append(m.asked, about)
	if m.hangs != "" && a.ClientID != m.hangs {
		close(m.others)
		m.hangs = ""
	}
	hangs := a.ClientID == m.hangs
	m.asking.Unlock()
	if hangs {
		select {
		case <-m.others:
		case <-ctx.Done():
		}
	}
	if hangs || a.ClientID == m.refuses {
		return replica.Misconfigured.New("the role of %s cannot be assumed", a.ClientID)
	}
	return nil
}

func (m *moody) Template(ctx context.Context, a activities.Account, region, id string) (json.RawMessage, error) {
	if err := m.meet(ctx, a, id); err != nil {
		return nil, err
	}
	return m.fakeFleet.Template(ctx, a, region, id)
}

func (m *moody) State(ctx context.Context, a activities.Account, region, id string) (*activities.CloudInstance, error) {
	if err := m.meet(ctx, a, id); err != nil {
		return nil, err
	}
	return m.fakeFleet.State(ctx, a, region, id)
}

func (m *moody) Ours(
	ctx context.Context,
	a activities.Account,
	region, clientID string,
) ([]activities.CloudInstance, error) {
	if err := m.meet(ctx, a, clientID+"/"+region); err != nil {
		return nil, err
	}
	return m.fakeFleet.Ours(ctx, a, region, clientID)
}

// tenants makes clients beside k1, each with the given number of agents on instances that
// are newer than all before.
func (w *world) tenants(agents map[string]int) {
	w.t.Helper()
	for client, n := range agents {
		w.exec(`INSERT INTO clients (id, name, email, token_hash, token_sealed, role_arn)
			VALUES ($1, $1, $1 || '@x', decode(md5($1), 'hex'), '\x01',
				'arn:aws:iam::222222222222:role/spotkeeper-' || $1)`, client)
		for i := range n {
			id := client + "-" + strconv.Itoa(i)
			w.exec(`INSERT INTO agents (id, client_id, logical_agent_id) VALUES ($2, $1, $2)`, client, id)
			w.exec(
				`
				INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode,
					launched_by, proof, created_at)
				VALUES ('i-' || $2, $1, $2, 'primary', 't3.medium', 'us-east-1', 'us-east-1a', 't3.medium.us-east-1a',
					'spot', 'control-plane', 'launched', now() + $3 * interval '1 minute')`,
				client,
				id,
				i+1,
			)
			w.fleet.become("i-"+id, activities.StateRunning, true)
		}
	}
}

// watchOnce lets the watch over primaries run once, with room for two of a sort.
func (w *world) watchOnce(m *moody, d *follower) *activities.WatchPrimariesResult {
	w.t.Helper()
	p := &activities.Primaries{
		Store:     &sweeps.Primaries{Launches: postgres.Launches{DB: w.db}},
		Fleet:     m,
		Workflows: d,
		Log:       quiet,
	}
	got, err := p.WatchPrimaries(w.t.Context(), activities.WatchPrimariesInput{Limit: 2})
	require.NoError(w.t, err)
	return got
}

// TestOneTenantsRoleDelaysNoOtherTenantsPrimaries: a tenant with more primaries than
// a run looks at, all of them newer, whose account hangs and then refuses. The other
// tenant's template is noted in the first run and its lost primary found in the
// first one after; the broken tenant's own come in turn.
func TestOneTenantsRoleDelaysNoOtherTenantsPrimaries(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.tenants(map[string]int{"broken": 5})
	m, d := newMoody(w), &follower{}
	m.hangs, m.refuses = "broken", "broken"
	require.Equal(t, &activities.WatchPrimariesResult{Templates: 1, Failed: 1}, w.watchOnce(m, d))

	w.exec(`UPDATE agents SET status = 'offline',
		last_heartbeat_at = CASE WHEN client_id = 'k1' THEN now() - interval '1 hour' ELSE now() END`)
	w.fleet.become("i-0", activities.StateTerminated, false)
	require.Equal(t, 1, w.watchOnce(m, d).Lost)
	require.Len(t, d.taken, 1)
	require.Equal(t, "i-0", d.taken[0].Outcome.InstanceID)

	m.asked = nil
	for range 3 {
		w.watchOnce(m, d)
	}
	asked := map[string]bool{}
	for _, id := range m.asked {
		asked[id] = true
	}
	require.Len(t, asked, 5, "those that fail have their turn one after another: %v", m.asked)

	m.refuses = ""
	noted := 0
	for range 3 {
		noted += w.watchOnce(m, d).Templates
	}
	require.Equal(t, 5, noted, "a role that was mended is noticed")
}

// TestATemplateIsWantedAfterADay: the role of the tenant was broken until then.
func TestATemplateIsWantedAfterADay(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	m, d := newMoody(w), &follower{}
	m.refuses = "k1"
	w.exec(`UPDATE instances SET installed_at = now() - interval '2 days'`)
	require.Equal(t, 1, w.watchOnce(m, d).Failed)
	require.Equal(t, 0, w.watchOnce(m, d).Failed, "it is not tried all the time")
	m.refuses = ""
	w.exec(`UPDATE sweep_attempts SET tried_at = now() - interval '2 hours'`)
	require.Equal(t, 1, w.watchOnce(m, d).Templates)
}

// TestOneTenantsRoleDelaysNoOtherTenantsSweep: the place that hangs comes first by
// its name, and costs its own time. In the next sweep it comes last.
func TestOneTenantsRoleDelaysNoOtherTenantsSweep(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.tenants(map[string]int{"a-broken": 1})
	m := newMoody(w)
	m.hangs, m.refuses = "a-broken", "a-broken"
	sweeps := &activities.Orphans{Store: &sweeps.Orphans{DB: w.db}, Fleet: m, Log: quiet}
	got, err := sweeps.SweepOrphans(t.Context(), activities.SweepInput{})
	require.NoError(t, err)
	require.Equal(t, lines(2, 1), lines(got.Places, got.Failed))
	require.ElementsMatch(t, []string{"a-broken/us-east-1", "k1/us-east-1"}, m.asked)

	w.exec(
		`
			UPDATE sweep_attempts
			SET tried_at = CASE WHEN subject LIKE 'k1%' THEN now() - interval '1 minute' ELSE now() END`,
	)
	places, err := sweeps.Store.Places(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"k1", "a-broken"}, []string{places[0].Account.ClientID, places[1].Account.ClientID})
}
