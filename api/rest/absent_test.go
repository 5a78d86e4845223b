package rest_test

import (
	"net/http"
	"testing"
)

// TestWhatIsNotThereIsSaid: a route about one thing answers 404 with the thing's code when there is none,
// not with an empty answer. A list of what a client has is empty for one that is not there.
func TestWhatIsNotThereIsSaid(t *testing.T) {
	t.Parallel()

	s := newStack(t)
	for path, code := range map[string]string{
		"/api/admin/clients/nope/account":      "clients.not_found",
		"/api/admin/model-rollouts/nope":       "mlmodel.not_found",
		"/api/client/agents/nope/explain":      "agent.not_found",
		"/api/client/agents/nope/preflight":    "agent.not_found",
		"/api/client/agents/nope/requirements": "agent.not_found",
		"/api/client/nope/join-rules":          "clients.not_found",
		"/api/client/nope/legacy-token":        "clients.not_found",
		"/api/client/nope/limits":              "clients.not_found",
		"/api/client/nope/preflight":           "clients.not_found",
		"/api/client/nope/requirements":        "clients.not_found",
	} {
		t.Run(path, func(t *testing.T) {
			s.call(operatorToken, http.MethodGet, path, "").holds(t, 404, `{"code":"`+code+`"}`)
		})
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
