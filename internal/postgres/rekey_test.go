package postgres_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/domain/notification"
	"spotkeeper/internal/postgres/accounts"
	"spotkeeper/internal/postgres/notifications"
	"spotkeeper/internal/sealing"
	"spotkeeper/internal/testkit/postgrestest"
)

// TestSecretsAreRekeyed: old and new processes read every secret in each step of a
// replacement, one row that no key opens stops no other, and a second run changes nothing.
func TestSecretsAreRekeyed(t *testing.T) {
	t.Parallel()
	db, ctx := postgrestest.Open(t), t.Context()
	old, fresh := sealing.Key{Secret: bytes.Repeat([]byte{1}, 32)}, sealing.Key{
		ID:     "2026",
		Secret: bytes.Repeat([]byte{2}, 32),
	}
	keysOf := func(keys ...sealing.Key) sealing.Keys {
		all, err := sealing.NewKeys(keys...)
		require.NoError(t, err)
		return all
	}
	before, both, after := keysOf(old), keysOf(fresh, old), keysOf(fresh)
	c, token, err := accounts.NewClientsWith(db, before).Create(ctx, clients.NewClient{Name: "Acme"}, "test")
	require.NoError(t, err)
	lost, _, err := accounts.NewClientsWith(db, keysOf(sealing.Key{Secret: bytes.Repeat([]byte{9}, 32)})).Create(ctx,
		clients.NewClient{Name: "Lost"}, "test")
	require.NoError(t, err)
	_, secret, err := notifications.NewSinksWith(db, before).Create(ctx, c.ID, notification.NewNotification{
		Kind:        notification.Webhook,
		URL:         "https://hooks.example.com/x",
		MinSeverity: notification.Info,
	}, "test")
	require.NoError(t, err)
	require.NotEmpty(t, secret)
	shows := func(keys sealing.Keys) {
		t.Helper()
		_, shown, err := accounts.NewClientsWith(db, keys).Token(ctx, c.ID, "test")
		require.NoError(t, err)
		require.Equal(t, token, shown)
	}
	shows(both)

	rekeying := &accounts.Rekeying{DB: db, Keys: both}
	done, err := rekeying.Rekey(ctx, "test")
	require.NoError(t, err)
	require.Equal(t, accounts.Rekeyed{Resealed: 2, Unreadable: 1}, done)
	shows(both)
	shows(after)
	done, err = rekeying.Rekey(ctx, "test")
	require.NoError(t, err)
	require.Equal(t, accounts.Rekeyed{Current: 2, Unreadable: 1}, done)
	rows, unreadable, err := (&accounts.Rekeying{DB: db, Keys: after}).Unreadable(ctx)
	require.NoError(t, err)
	require.Equal(t, []int{3, 1}, []int{rows, unreadable})
	_, _, err = accounts.NewClientsWith(db, after).Token(ctx, lost.ID, "test")
	require.ErrorContains(t, err, "another key")
}
