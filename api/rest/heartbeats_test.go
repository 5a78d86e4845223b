package rest_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// beat is what the deployed agents send.
func beat(status, instance string) string {
	return fmt.Sprintf(
		`{"status":%q,"monitored_instances":[%q],"instance_id":%q,"instance_type":"t3.medium","mode":"spot","az":"us-east-1a"}`,
		status,
		instance,
		instance,
	)
}

// goodbye is the last heartbeat of every deployed agent: it does not name its instance.
const goodbye = `{"status":"offline","monitored_instances":[]}`

func (s *stack) statusOf(agentID string) string {
	s.t.Helper()
	return s.value(`SELECT status FROM agents WHERE id = $1`, agentID)
}

func TestHeartbeatsAreJudgedByInstance(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const path = "/api/agents/a1/heartbeat"

	s.call(s.acme, "POST", path, beat("offline", "i-1")).holds(t, 200, `{"success":true}`)
	require.Equal(t, "offline", s.statusOf("a1"))
	s.call(s.acme, "POST", path, beat("offline", "i-1"))
	s.call(s.acme, "POST", path, beat("online", "i-0"))
	require.Equal(t, "offline", s.statusOf("a1"), "an instance that was replaced does not speak for the agent")
	s.call(s.acme, "POST", path, beat("online", "i-stranger"))
	require.Equal(t, "offline", s.statusOf("a1"))
	s.call(s.acme, "POST", path, beat("online", "i-1"))
	require.Equal(t, "online", s.statusOf("a1"))
	require.Equal(
		t,
		"Agent a1 went offline warning, Agent a1 is back online info",
		s.value(
			`
				SELECT string_agg(message || ' ' || severity, ', ' ORDER BY created_at)
				FROM notifications
				WHERE message LIKE 'Agent a1 %'`,
		),
		"each transition once",
	)
	s.call(s.acme, "POST", path, beat("offline", "i-0"))
	require.Equal(t, "online", s.statusOf("a1"))
	require.Equal(t, "true",
		s.value(`SELECT bool_and(last_seen_at IS NOT NULL)::text FROM instances WHERE agent_id = 'a1'`),
		"it is a sign of life of the instance")
	require.Equal(t, "true", s.value(`SELECT (last_sync_at IS NOT NULL)::text FROM clients WHERE id = 'c1'`))
}

func TestGoodbyesThatDoNotSayWhereFrom(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const path = "/api/agents/a1/heartbeat"

	s.call(s.acme, "POST", path, goodbye).holds(t, 200, `{"success":true}`)
	require.Equal(t, "offline", s.statusOf("a1"), "there is nobody else who could have said it")
	s.call(s.acme, "POST", path, `{}`)
	require.Equal(t, "online", s.statusOf("a1"), "an empty heartbeat is one of the primary")
	s.call(s.acme, "POST", path, beat("online", "i-0"))
	s.call(s.acme, "POST", path, goodbye)
	require.Equal(t, "online", s.statusOf("a1"), "the replaced instance was alive a moment ago: it is going")
	s.exec(`UPDATE instances SET last_seen_at = now() - interval '3 minutes' WHERE id = 'i-0'`)
	s.call(s.acme, "POST", path, goodbye)
	require.Equal(t, "offline", s.statusOf("a1"))

	s.call(s.acme, "POST", path, `{"status":"online","monitored_instances":["i-0"]}`)
	require.Equal(t, "offline", s.statusOf("a1"), "the oldest program names itself as what it monitors")
	s.call(s.acme, "POST", path, `{"status":"disabled","monitored_instances":["i-1"]}`)
	require.Equal(t, "disabled", s.statusOf("a1"))
}

func TestHeartbeatsFillInWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(`UPDATE instances SET mode = 'unknown', az = 'unknown', pool_id = 't3.medium.unknown' WHERE id = 'i-1'`)

	s.call(s.acme, "POST", "/api/agents/a1/heartbeat",
		`{"status":"online","instance_id":"i-1","instance_type":null,"az":"unknown","mode":null}`).holds(t, 200, `{}`)
	require.Equal(t, "unknown unknown", s.value(`SELECT mode || ' ' || az FROM instances WHERE id = 'i-1'`))
	s.call(s.acme, "POST", "/api/agents/a1/heartbeat", beat("online", "i-1"))
	require.Equal(t, "spot t3.medium.us-east-1a",
		s.value(`SELECT mode || ' ' || pool_id FROM instances WHERE id = 'i-1'`))
	s.call(s.acme, "POST", "/api/agents/a1/heartbeat",
		strings.Replace(beat("online", "i-1"), `"spot"`, `"ondemand"`, 1))
	require.Equal(t, "spot", s.value(`SELECT mode FROM instances WHERE id = 'i-1'`),
		"how an instance is bought does not change")
}

// TestHeartbeatCost holds the budget: two statements, authentication included.
func TestHeartbeatCost(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	counted, count := s.counted()

	for _, c := range []struct {
		method, path, body string
		most               int
	}{
		{"POST", "/api/agents/a1/heartbeat", beat("online", "i-1"), 2},
		{"POST", "/api/agents/a1/heartbeat", beat("offline", "i-0"), 2},
		{"GET", "/api/agents/a1/pending-commands", "", 2},
		{"GET", "/api/agents/a1/config", "", 2},
		{"POST", "/api/agents/a1/pricing-report",
			`{"instance":{"instance_id":"i-1","instance_type":"t3.medium","region":"us-east-1","az":"us-east-1a","mode":"spot"},` +
				`"pricing":{"on_demand_price":0.0416,"spot_pools":[{"pool_id":"t3.medium.us-east-1a","az":"us-east-1a","price":0.0125}]}}`, 2},
	} {
		before := count()
		got := counted.call(s.acme, c.method, c.path, c.body)
		require.Equal(t, 200, got.status, got.raw)
		require.LessOrEqual(t, count()-before, c.most, c.path)
	}
}

// TestHeartbeatsMeetChangesOfRoles: both lock the agent before its instances, so
// none of them ends in a deadlock.
func TestHeartbeatsMeetChangesOfRoles(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const rounds = 60

	var wg sync.WaitGroup
	failed := make(chan string, 4*rounds)
	for range 3 {
		wg.Go(func() {
			for range rounds {
				if got := s.call(s.acme, "POST", "/api/agents/a1/heartbeat", beat("online", "i-1")); got.status != 200 {
					failed <- got.raw
				}
			}
		})
	}
	wg.Go(func() {
		for range rounds {
			err := pgx.BeginFunc(t.Context(), s.db.Pool, func(tx pgx.Tx) error {
				if _, err := tx.Exec(t.Context(),
					`SELECT 1 FROM agents WHERE id = 'a1' FOR NO KEY UPDATE`); err != nil {
					return err
				}
				_, err := tx.Exec(t.Context(), `UPDATE instances SET epoch = epoch + 1 WHERE agent_id = 'a1'`)
				return err
			})
			if err != nil {
				failed <- err.Error()
			}
		}
	})
	wg.Wait()
	close(failed)
	require.Empty(t, failed)
}
