package fleet_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/ec2sim"
	simclient "spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/fleet"
	"spotkeeper/internal/testkit/iam"
)

// sessions is what AssumeRole was asked for.
type sessions struct {
	mu    sync.Mutex
	forms []url.Values
}

// listen stands before a server and keeps the forms of AssumeRole.
func (s *sessions) listen(t *testing.T, server string) *httptest.Server {
	t.Helper()
	target, err := url.Parse(server)
	require.NoError(t, err)
	next := httputil.NewSingleHostReverseProxy(target)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			r.Body = io.NopCloser(strings.NewReader(string(body)))
			if form, err := url.ParseQuery(string(body)); err == nil && form.Get("Action") == "AssumeRole" {
				s.mu.Lock()
				s.forms = append(s.forms, form)
				s.mu.Unlock()
			}
		}
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	return front
}

// TestSessionsAreNarrowed: each session of a tenant's role is sent a policy that AWS takes
// and that allows the tenant's own tag alone, even where the role itself allows everything.
func TestSessionsAreNarrowed(t *testing.T) {
	t.Parallel()
	sim := ec2sim.New(ec2sim.Options{})
	back := httptest.NewServer(sim)
	t.Cleanup(back.Close)
	t.Cleanup(func() { require.NoError(t, sim.Close()) })
	var seen sessions
	front := seen.listen(t, back.URL)
	p := providerAt(t, front.URL)
	tenant := fleet.Account{ClientID: uuid.NewString(), RoleARN: "arn:aws:iam::111111111111:role/spotkeeper-tenant",
		ExternalID: "external"}
	require.NoError(t, simclient.NewClient(back.URL, back.Client()).AddRole(t.Context(),
		simclient.Role{ARN: tenant.RoleARN, ExternalID: tenant.ExternalID}))
	_, err := p.Zones(t.Context(), tenant, region)
	require.NoError(t, err)

	require.Len(t, seen.forms, 1)
	require.Equal(t, "external", seen.forms[0].Get("ExternalId"))
	document := seen.forms[0].Get("Policy")
	require.NotEmpty(t, document)
	require.LessOrEqual(t, len(document), 2048)
	session, err := iam.Parse(document)
	require.NoError(t, err)
	everything, err := iam.Parse(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
	require.NoError(t, err)
	for client, want := range map[string]iam.Decision{tenant.ClientID: iam.Allow, "another": iam.ImplicitDeny} {
		for action, prefix := range map[string]string{"ec2:TerminateInstances": "aws:ResourceTag/",
			"ec2:ModifyInstanceAttribute": "aws:ResourceTag/", "ec2:RunInstances": "aws:RequestTag/",
			"ec2:CreateTags": "aws:RequestTag/"} {
			got := iam.InSession(iam.Request{Action: action, Resource: "arn:aws:ec2:us-east-1:111111111111:instance/i-1",
				Context: map[string][]string{prefix + fleet.TagManagedBy: {fleet.ManagedBy},
					prefix + fleet.TagClient: {client}}}, session, everything)
			require.Equal(t, want, got, "%s for client %s", action, client)
		}
	}
	require.Equal(t, iam.ImplicitDeny, iam.InSession(iam.Request{Action: "s3:GetObject", Resource: "*"}, session, everything))
}

// TestSessionPolicyThatAWSRefuses: a client whose id makes the policy too long gets an error
// before AWS is asked.
func TestSessionPolicyThatAWSRefuses(t *testing.T) {
	t.Parallel()
	_, err := providerAt(t, "http://127.0.0.1:1").Zones(t.Context(), fleet.Account{ClientID: strings.Repeat("c", 1000),
		RoleARN: "arn:aws-cn:iam::111111111111:role/x", ExternalID: "external"}, region)
	require.Equal(t, replica.Misconfigured, fault.CodeOf(err))
	require.ErrorContains(t, err, "session policy")
}
