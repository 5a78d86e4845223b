package rest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/api/rest"
	"spotkeeper/api/web"
)

// TestWhatIsNotThereIsSaid: each reading route of ours about one client or one agent answers 404 with the code of
// what is not there. An empty list would say that the client has none of what was asked for.
func TestWhatIsNotThereIsSaid(t *testing.T) {
	t.Parallel()

	s := newStack(t)
	s.call(operatorToken, http.MethodGet, "/api/admin/model-rollouts/nope", "").holds(t, 404, `{"code":"mlmodel.not_found"}`)
	paths := map[string]string{}
	for _, r := range (rest.Deps{}).Routes() {
		if r.Method != http.MethodGet || r.IsLegacy() || r.Auth != web.Client && r.Auth != web.Admin {
			continue
		}
		if strings.Contains(r.Path, ":client_id") {
			paths[strings.ReplaceAll(r.Path, ":client_id", "nope")] = "clients.not_found"
		}
		if strings.Contains(r.Path, ":agent_id") {
			paths[strings.ReplaceAll(r.Path, ":agent_id", "nope")] = "agent.not_found"
		}
		for n := range r.Endpoint.In.NumField() {
			if r.Endpoint.In.Field(n).Tag.Get("form") == "client_id" {
				paths[strings.ReplaceAll(r.Path, ":pool_id", "t3.medium.us-east-1a")+"?client_id=nope"] = "clients.not_found"
			}
		}
	}
	require.Greater(t, len(paths), 20)
	for path, code := range paths {
		t.Run(path, func(t *testing.T) {
			s.call(operatorToken, http.MethodGet, path, "").holds(t, 404, `{"code":"`+code+`"}`)
		})
	}
}

// TestATenantMayNameAnotherClient: its lists are its own whatever it names, as the document says, and so a tenant
// does not learn which clients there are.
func TestATenantMayNameAnotherClient(t *testing.T) {
	t.Parallel()

	s := newStack(t)
	for _, id := range []string{"c1", "c2", "nope"} {
		s.call(s.acme, http.MethodGet, "/api/fleet?client_id="+id, "").holds(t, 200, `{"total":2}`)
	}
}

// TestAnIdentityDocumentThatAWSHasNotSignedIsRefused with the one code of all refusals to join.
func TestAnIdentityDocumentThatAWSHasNotSignedIsRefused(t *testing.T) {
	t.Parallel()

	newStack(t).call("", http.MethodPost, "/api/agents/join/aws-iid", `{"logical_agent_id":"web","hostname":"web-1",
		"instance_id":"i-0123456789abcdef0","instance_type":"t3.medium","region":"us-east-1","az":"us-east-1a","mode":"spot",
		"agent_version":"5.0.0","signature":"AAAA","attempt":"9b1d4c7e5f8a4b2c8d6e0f1a2b3c4d5e"}`).
		holds(t, 401, `{"code":"join.refused"}`)
}
