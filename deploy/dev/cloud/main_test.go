// Package cloud runs the product in the test's own process against a real Temporal
// server, so that a test can stand between the two: refuse what Temporal Cloud
// refuses to an API key, or hang. The server is a process of its own: linked into the
// test binary, it would be linked and run under the race detector.
package cloud

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"spotkeeper/deploy/dev/devtest"
	"spotkeeper/deploy/dev/embedded/loopback"
	"spotkeeper/internal/app"
	"spotkeeper/internal/config"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/ec2sim"
	simclient "spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/fleet"
	"spotkeeper/internal/temporalx"
	"spotkeeper/internal/testkit/postgrestest"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

const patience = 2 * time.Minute

// product is the product with the services that it needs. Only what a test starts runs.
type product struct {
	*app.App // of the api
	worker   *app.App
	t        *testing.T
	api      string
	metrics  string
	ec2      *fleet.Provider
}

// bare is a namespace without the product's search attributes.
const bare = "bare"

// open starts those services and opens the product in a namespace of the server, which is
// made unless it is the default one; between stands in every call to Temporal.
func open(t *testing.T, namespace string, between grpc.UnaryClientInterceptor) *product {
	t.Helper()
	server := devtest.Start(t, devtest.Options{
		Without: []string{devtest.Postgres, devtest.EC2, devtest.Worker, devtest.API},
	})
	if namespace != server.Namespace {
		makeNamespace(t, server.Temporal, namespace)
	}
	sim := ec2sim.New(ec2sim.Options{})
	ec2 := httptest.NewServer(sim)
	t.Cleanup(func() {
		ec2.Close()
		require.NoError(t, sim.Close())
	})
	ports, err := loopback.Free(2)
	require.NoError(t, err)
	settings, err := config.Load(map[string]string{
		"DATABASE_URL":         postgrestest.URL(t),
		"API_LISTEN":           loopback.Addr(ports[0]),
		"API_METRICS_LISTEN":   loopback.Addr(ports[1]),
		"ARTIFACTS_URL":        t.TempDir(),
		"AWS_ENDPOINT_URL_EC2": ec2.URL,
		"EC2_SIMULATED":        "true",
	})
	require.NoError(t, err)
	settings.Worker.MetricsListen = ""
	open := func() *app.App { // as each process does
		a, err := app.Open(t.Context(), settings, app.Options{Log: slog.New(slog.DiscardHandler),
			Temporal: temporalx.Options{Address: server.Temporal, Namespace: namespace,
				Dial: []grpc.DialOption{grpc.WithChainUnaryInterceptor(between)}}})
		require.NoError(t, err)
		t.Cleanup(a.Close)
		return a
	}
	provider, err := fleet.New(t.Context(), fleet.Options{
		Region:      "us-east-1",
		Endpoint:    ec2.URL,
		Credentials: fleet.StaticCredentials("test", "test"),
	})
	require.NoError(t, err)
	return &product{
		App:     open(),
		worker:  open(),
		t:       t,
		api:     "http://" + loopback.Addr(ports[0]),
		metrics: "http://" + loopback.Addr(ports[1]),
		ec2:     provider,
	}
}

// makeNamespace registers a namespace without search attributes of its own, and returns
// when the server's services know it.
func makeNamespace(t *testing.T, address, namespace string) {
	t.Helper()
	c, err := client.Dial(client.Options{
		HostPort:  address,
		Namespace: namespace,
		Logger:    sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	require.NoError(t, err)
	defer c.Close()
	_, err = c.WorkflowService().RegisterNamespace(t.Context(), &workflowservice.RegisterNamespaceRequest{
		Namespace:                        namespace,
		WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour),
	})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := c.CountWorkflow(t.Context(), termination)
		return err == nil
	}, patience, 50*time.Millisecond)
}

// run runs a part of the product until the test ends.
func (p *product) run(part func(context.Context) error) {
	p.t.Helper()
	ctx, stop := context.WithCancel(p.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- part(ctx) }()
	p.t.Cleanup(func() {
		stop()
		require.NoError(p.t, <-ended)
	})
}

// call sends an HTTP request to the api.
func (p *product) call(method, path, token string, in any) (status int, out map[string]any, err error) {
	p.t.Helper()
	return p.callAt(p.api, method, path, token, in)
}

// callAt sends an HTTP request to one of the api's listeners.
func (p *product) callAt(address, method, path, token string, in any) (status int, out map[string]any, err error) {
	p.t.Helper()
	raw, err := json.Marshal(in)
	require.NoError(p.t, err)
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, address+path, bytes.NewReader(raw))
	require.NoError(p.t, err)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := (&http.Client{Timeout: 30 * time.Second}).Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	return answer.StatusCode, out, json.NewDecoder(answer.Body).Decode(&out)
}

// registered registers an agent on a running instance.
func (p *product) registered() (token, agentID, instanceID string) {
	p.t.Helper()
	_, out, err := p.call(http.MethodPost, "/api/admin/clients/create", "",
		map[string]any{"name": "Acme", "own_account": true, "legacy_token": "all"})
	require.NoError(p.t, err)
	made := out["client"].(map[string]any)
	token = made["token"].(string)
	clientID := made["id"].(string)
	machine, err := p.ec2.Launch(p.t.Context(), fleet.Account{ClientID: clientID, Own: true},
		fleet.LaunchRequest{ClientToken: "primary", Region: "us-east-1",
			Mode:         agent.Spot,
			InstanceType: "t3.medium", AZ: "us-east-1a", ImageID: simclient.PublicImage("us-east-1", "x86_64"),
			Tags: map[string]string{fleet.TagManagedBy: fleet.ManagedBy, fleet.TagClient: clientID}})
	require.NoError(p.t, err)
	_, out, err = p.call(http.MethodPost, "/api/agents/register", token, map[string]any{
		"client_token":     token,
		"logical_agent_id": "web",
		"hostname":         "web-1",
		"instance_id":      machine.ID,
		"instance_type":    "t3.medium",
		"region":           "us-east-1",
		"az":               "us-east-1a",
		"mode":             "spot",
		"agent_version":    "4.0.0",
	})
	require.NoError(p.t, err)
	return token, out["agent_id"].(string), machine.ID
}
