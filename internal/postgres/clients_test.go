package postgres_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/domain/credentials"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/postgres/accounts"
	"spotkeeper/internal/testkit/postgrestest"
)

// TestTokensAreSealed: neither a copy of the table nor a row that was moved
// shows a token, and another key says so instead of showing nonsense.
func TestTokensAreSealed(t *testing.T) {
	t.Parallel()
	db, ctx := postgrestest.Open(t), t.Context()
	store, err := accounts.NewClients(db, bytes.Repeat([]byte{1}, 32))
	require.NoError(t, err)
	a, token, err := store.Create(ctx, clients.NewClient{Name: "Acme"}, "test")
	require.NoError(t, err)
	b, _, err := store.Create(ctx, clients.NewClient{Name: "Beta"}, "test")
	require.NoError(t, err)

	name, shown, err := store.Token(ctx, a.ID, "test")
	require.NoError(t, err)
	require.Equal(t, []string{"Acme", token}, []string{name, shown})
	var sealed []byte
	require.NoError(t, db.Pool.QueryRow(ctx, `SELECT token_sealed FROM clients WHERE id = $1`, a.ID).Scan(&sealed))
	require.NotContains(t, string(sealed), token[6:])
	_, err = db.Pool.Exec(ctx, `UPDATE clients SET token_sealed = $2 WHERE id = $1`, b.ID, sealed)
	require.NoError(t, err)
	_, _, err = store.Token(ctx, b.ID, "test")
	require.Error(t, err, "a token of another client")
	other, err := accounts.NewClients(db, bytes.Repeat([]byte{2}, 32))
	require.NoError(t, err)
	_, _, err = other.Token(ctx, a.ID, "test")
	require.ErrorContains(t, err, "another key")
	_, err = accounts.NewClients(db, []byte("short"))
	require.Error(t, err)
}

func TestTokensComeAndGo(t *testing.T) {
	t.Parallel()
	db, ctx := postgrestest.Open(t), t.Context()
	store, err := accounts.NewClients(db, bytes.Repeat([]byte{1}, 32))
	require.NoError(t, err)
	a, token, err := store.Create(ctx, clients.NewClient{Name: "Acme", Email: "ops@acme.test"}, "test")
	require.NoError(t, err)

	tokens := &accounts.Credentials{DB: store.DB}
	got, err := tokens.FindLegacy(ctx, clients.HashToken(token))
	require.NoError(t, err)
	require.Equal(t, []any{a.ID, clients.Active, credentials.LegacyAgent},
		[]any{got.ClientID, got.Status, got.LegacyMode})
	_, _, err = store.Create(ctx, clients.NewClient{Name: "aCME"}, "test")
	require.True(t, fault.Is(err, clients.NameTaken), "%v", err)
	_, _, err = store.Create(ctx, clients.NewClient{Name: "Other", Email: "OPS@acme.test"}, "test")
	require.True(t, fault.Is(err, clients.EmailTaken), "%v", err)

	_, fresh, err := store.RegenerateToken(ctx, a.ID, "test")
	require.NoError(t, err)
	_, err = tokens.FindLegacy(ctx, clients.HashToken(token))
	require.True(t, fault.Is(err, credentials.NotFound), "the old token is dead at once")
	_, err = tokens.FindLegacy(ctx, clients.HashToken(fresh))
	require.NoError(t, err)
	_, err = store.Delete(ctx, a.ID, "test")
	require.NoError(t, err)
	_, err = tokens.FindLegacy(ctx, clients.HashToken(fresh))
	require.True(t, fault.Is(err, credentials.NotFound))
	for _, forget := range []func() error{
		func() error { _, _, err := store.Token(ctx, a.ID, "test"); return err },
		func() error { _, _, err := store.RegenerateToken(ctx, a.ID, "test"); return err },
		func() error { _, err := store.Delete(ctx, a.ID, "test"); return err },
	} {
		require.True(t, fault.Is(forget(), clients.NotFound))
	}
}
