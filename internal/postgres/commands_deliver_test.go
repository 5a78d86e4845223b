package postgres_test

import (
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/views"
)

// TestPollsAtOnce: concurrent pollers get a command each, never one of another agent, and
// a command is leased once.
func TestPollsAtOnce(t *testing.T) {
	t.Parallel()
	g := guard(t)
	const fleet = 30
	orders := &postgres.Commands{DB: g.db}
	for n := range fleet {
		id := "f" + strconv.Itoa(n)
		g.agent("k1", id, "f-"+strconv.Itoa(n))
		if n%3 == 0 {
			g.exec(`UPDATE agents SET launcher = 'agent' WHERE id = $1`, id)
			_, err := orders.Order(t.Context(), switching.SwitchRequest{
				ID:       "c" + id,
				AgentID:  id,
				Target:   switching.Target{Mode: agent.OnDemand},
				Priority: switching.PriorityManual,
			})
			require.NoError(t, err)
		}
	}
	got := make([][2][]switching.SwitchCommand, fleet)
	failed, foreign := make([][2]error, fleet), make([]error, fleet)
	var all sync.WaitGroup
	for n := range fleet {
		id := "f" + strconv.Itoa(n)
		for twice := range 2 {
			all.Go(func() { got[n][twice], failed[n][twice] = orders.Deliver(t.Context(), "k1", id, "") })
		}
		all.Go(func() { _, foreign[n] = orders.Deliver(t.Context(), "k2", id, "") })
	}
	all.Wait()
	for n := range fleet {
		require.NoError(t, failed[n][0])
		require.NoError(t, failed[n][1])
		require.True(t, fault.Is(foreign[n], agent.NotFound), "another tenant's agent")
		leased := slices.Concat(got[n][0], got[n][1])
		if n%3 != 0 {
			require.Empty(t, leased)
			continue
		}
		require.Len(t, leased, 1, "of two live agents with one id one gets it")
		require.Equal(t, "cf"+strconv.Itoa(n), leased[0].ID)
		require.Equal(t, "f-"+strconv.Itoa(n), leased[0].InstanceID)
	}
	_, err := orders.Deliver(t.Context(), "k1", "nobody", "")
	require.True(t, fault.Is(err, agent.NotFound))
	require.Equal(t, 10, one[int](g, `SELECT sum(deliveries) FROM commands`))
}

// TestPlacesTogether: instances that are asked for together are each their asker's.
func TestPlacesTogether(t *testing.T) {
	t.Parallel()
	g := guard(t)
	g.agent("k2", "b1", "j-1")
	reader := &views.Views{DB: g.db}
	for _, tt := range []struct {
		client, id string
		there      bool
	}{{"k1", "i-0", true}, {"k2", "j-1", true}, {"", "j-1", true}, {"k1", "j-1", false}, {"k1", "i-9", false}} {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				p, err := reader.InstancePlace(t.Context(), tt.client, tt.id)
				if tt.there {
					if p == nil || p.ID != tt.id || p.PoolID != "t3.medium.us-east-1a" {
						t.Errorf("%s asks for %s: %v, %v", tt.client, tt.id, p, err)
					}
				} else if !fault.Is(err, views.InstanceNotFound) {
					t.Errorf("%s asks for %s: %v", tt.client, tt.id, err)
				}
			})
		}
		all.Wait()
	}
}
