package identity_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

const (
	clientID     = "spotkeeper"
	clientSecret = "a secret of the tests"
	password     = "correct horse"
)

// person is a user of the provider.
type person struct {
	email    string
	verified bool
	groups   []string
}

// people are by their name at the provider.
type people map[string]person

func (p people) GetUserByID(id string) *storage.User {
	found, ok := p[id]
	if !ok {
		return nil
	}
	return &storage.User{ID: id, Username: id, Password: password, Email: found.email, EmailVerified: found.verified}
}

func (p people) GetUserByUsername(name string) *storage.User { return p.GetUserByID(name) }

func (p people) ExampleClientID() string { return "service" }

// withGroups adds the claim of the groups, on the provider's page about a person alone, as
// many providers do.
type withGroups struct {
	*storage.Storage
	people people
}

func (s *withGroups) SetUserinfoFromToken(
	ctx context.Context,
	info *oidc.UserInfo,
	tokenID, subject, origin string,
) error {
	if err := s.Storage.SetUserinfoFromToken(ctx, info, tokenID, subject, origin); err != nil {
		return err
	}
	info.AppendClaims("groups", s.people[subject].groups)
	return nil
}

var _ op.Storage = &withGroups{}

// newProvider serves a provider with users, and sends browsers back to one address.
func newProvider(t *testing.T, known people, back string) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	issuer := "http://" + server.Listener.Addr().String()
	users := &withGroups{people: known, Storage: storage.NewStorageWithClients(known, map[string]*storage.Client{
		clientID: storage.WebClient(clientID, clientSecret, back),
	})}
	handler := exampleop.SetupServer(issuer, users, slog.New(slog.DiscardHandler), false)
	server.Config.Handler = http.Handler(handler)
	server.Start()
	t.Cleanup(server.Close)
	require.Equal(t, issuer, server.URL)
	return server
}
