package app

import (
	"bytes"
	"encoding/base64"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/config"
	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/postgres/accounts"
	"spotkeeper/internal/testkit/frontend"
)

// TestAWorkerWithoutItsKeyDoesNotStart: rows are sealed with a key that it was not given.
func TestAWorkerWithoutItsKeyDoesNotStart(t *testing.T) {
	t.Parallel()
	a := opened(t, &frontend.Cloud{})
	key := bytes.Repeat([]byte{3}, 32)
	store, err := accounts.NewClients(a.DB, key)
	require.NoError(t, err)
	_, _, err = store.Create(t.Context(), clients.NewClient{Name: "Acme"}, "test")
	require.NoError(t, err)

	require.ErrorContains(t, a.RunWorker(t.Context()), "SECRET_KEY is not set")
	a.Config.Secrets.Keys = config.Secret("next=" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{4}, 32)))
	require.ErrorContains(t, a.checkSecrets(t.Context()), "1 of 1 secrets in the database are sealed with a key")
	a.Config.Secrets.Key = config.Secret(base64.StdEncoding.EncodeToString(key))
	require.NoError(t, a.checkKeys(t.Context()))
	require.Error(t, a.checkSecrets(t.Context()), "what was found is kept for a while")
	a.secrets.at = time.Time{}
	require.NoError(t, a.checkSecrets(t.Context()))
	require.NoError(t, a.Rekey(t.Context()))
	a.Config.Secrets.Key = ""
	require.NoError(t, a.Rekey(t.Context()), "the old key is not needed any more")
}
