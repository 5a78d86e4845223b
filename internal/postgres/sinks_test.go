package postgres_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/notification"
	"spotkeeper/internal/postgres/notifications"
)

// sinks makes webhooks for clients, the given number for each, and a notification
// that all of them want.
func sinks(t *testing.T, g *guarded, of map[string]int) *notifications.Sinks {
	t.Helper()
	s, err := notifications.NewSinks(g.db, bytes.Repeat([]byte{7}, 32))
	require.NoError(t, err)
	for client, n := range of {
		for range n {
			_, _, err := s.Create(t.Context(), client,
				notification.NewNotification{
					Kind:        notification.Webhook,
					URL:         "https://example.com",
					MinSeverity: notification.Info,
				}, "test")
			require.NoError(t, err)
		}
	}
	g.exec(`UPDATE notification_sinks SET created_at = now() - interval '1 hour'`)
	for client := range of {
		g.exec(`INSERT INTO notifications (client_id, message, severity) VALUES ($1, 'hello', 'critical')`, client)
	}
	_, err = s.Enqueue(t.Context())
	require.NoError(t, err)
	return s
}

// TestSinksHaveTheirTurns: of a client with many sinks, all of which fail, one is
// taken beside each other client's; those that were not taken are first next time.
func TestSinksHaveTheirTurns(t *testing.T) {
	t.Parallel()

	g := guard(t)
	s := sinks(t, g, map[string]int{"k1": 5, "k2": 1})
	due := activities.DueDeliveries{Sinks: 2, PerSink: 20, Lease: time.Minute}
	first, err := s.Claim(t.Context(), due)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"k1", "k2"}, []string{first[0].ClientID, first[1].ClientID})

	// Everything is due again, except what the run is at work on.
	taken := map[string]bool{}
	for _, d := range first {
		taken[d.SinkID] = true
		if d.ClientID == "k1" {
			due.Busy = []string{d.SinkID}
		}
	}
	g.exec(`UPDATE notification_deliveries SET next_at = now() WHERE sink_id <> $1`, due.Busy[0])
	for range 2 {
		again, err := s.Claim(t.Context(), due)
		require.NoError(t, err)
		require.Len(t, again, 2)
		for _, d := range again {
			require.False(t, d.ClientID == "k1" && taken[d.SinkID],
				"a sink comes again after those that were not tried")
			taken[d.SinkID] = true
		}
		g.exec(`UPDATE notification_deliveries SET next_at = now() WHERE sink_id <> $1`, due.Busy[0])
	}
}

// TestWhatIsGivenBackIsDueAndWasNoAttempt, unless it was closed or claimed again.
func TestWhatIsGivenBackIsDueAndWasNoAttempt(t *testing.T) {
	t.Parallel()

	g := guard(t)
	s := sinks(t, g, map[string]int{"k1": 1})
	due := activities.DueDeliveries{Sinks: 16, PerSink: 20, Lease: time.Minute}
	for range 3 {
		claimed, err := s.Claim(t.Context(), due)
		require.NoError(t, err)
		require.Len(t, claimed, 1)
		require.Equal(t, 1, claimed[0].Attempts)
		for range 2 {
			require.NoError(t, s.Release(t.Context(), claimed))
		}
		require.Equal(t, 0, one[int](g, `SELECT attempts FROM notification_deliveries`))
	}
	claimed, err := s.Claim(t.Context(), due)
	require.NoError(t, err)
	require.NoError(t, s.Delivered(t.Context(), claimed[0]))
	require.NoError(t, s.Release(t.Context(), claimed))
	require.Equal(t, "delivered 1", one[string](g, `SELECT state || ' ' || attempts FROM notification_deliveries`))
}

// TestOneUnreadableSecretStopsNoOtherSink: its row was sealed with another key.
func TestOneUnreadableSecretStopsNoOtherSink(t *testing.T) {
	t.Parallel()

	g := guard(t)
	s := sinks(t, g, map[string]int{"k1": 1, "k2": 1})
	g.exec(`UPDATE notification_sinks SET secret_sealed = '\x0102' WHERE client_id = 'k1'`)
	claimed, err := s.Claim(t.Context(), activities.DueDeliveries{Sinks: 16, PerSink: 20, Lease: time.Minute})
	require.NoError(t, err)
	require.Len(t, claimed, 2)
	for _, d := range claimed {
		require.Equal(t, d.ClientID == "k1", d.Fault != nil)
		require.Equal(t, d.ClientID == "k2", d.Secret != "")
	}
}
