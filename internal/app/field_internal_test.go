package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"spotkeeper/activities"
	"spotkeeper/internal/config"
	"spotkeeper/internal/ec2sim"
	simclient "spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/agents"
	"spotkeeper/internal/postgres/prices"
	"spotkeeper/internal/temporalx"
	"spotkeeper/internal/testkit/frontend"
	"spotkeeper/internal/testkit/postgrestest"
)

// field is the whole product beside a simulated EC2 that it calls over HTTP. Its
// Replica workflows run in skipped time, which is the simulator's time too.
type field struct {
	*App
	t      *testing.T
	sim    *simclient.Client
	ec2    *ec2.Client // the customer's
	api    http.Handler
	token  string // of the customer's agents
	tenant string // of the customer's people
	env    atomic.Pointer[testsuite.TestWorkflowEnvironment]
	log    *bytes.Buffer
}

// The customer's machines, and the account that they live in.
const (
	fieldType    = "m5.large"
	fieldAccount = "111111111111"
)

func newField(t *testing.T, o ec2sim.Options) *field {
	t.Helper()
	f := &field{t: t, log: &bytes.Buffer{}}
	began := time.Now()
	o.Now = func() time.Time {
		if env := f.env.Load(); env != nil {
			return env.Now()
		}
		return began
	}
	sim := ec2sim.New(o)
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	t.Cleanup(func() { require.NoError(t, sim.Close()) })
	f.sim = simclient.NewClient(server.URL, server.Client())
	f.ec2 = ec2.New(ec2.Options{Region: "us-east-1", BaseEndpoint: aws.String(server.URL), HTTPClient: server.Client(),
		Credentials: credentials.NewStaticCredentialsProvider(simclient.AccessKey(fieldAccount), "simulated", "")})
	settings, err := config.Load(map[string]string{
		"DATABASE_URL":         postgrestest.URL(t),
		"EC2_SIMULATED":        "true",
		"AWS_ENDPOINT_URL_EC2": server.URL,
		"ARTIFACTS_URL":        t.TempDir(),
		"SECRET_KEY":           "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
	})
	require.NoError(t, err)
	settings.Worker.MetricsListen = ""
	f.App, err = Open(t.Context(), settings, Options{Log: slog.New(slog.DiscardHandler),
		Temporal: temporalx.Options{Address: frontend.Serve(t, &frontend.Cloud{}), Namespace: "ours.acct"},
		EC2Now:   o.Now})
	require.NoError(t, err)
	t.Cleanup(f.Close)
	f.api, _, err = f.handler()
	require.NoError(t, err)
	const role = "arn:aws:iam::" + fieldAccount + ":role/spotkeeper-tenant"
	var made struct {
		Client struct {
			ID         string
			Token      string
			ExternalID string `json:"external_id"`
		}
	}
	f.call("POST", "/api/admin/clients/create", map[string]any{"name": t.Name(), "role_arn": role}, &made)
	require.NoError(t, f.sim.AddRole(t.Context(), simclient.Role{ARN: role, ExternalID: made.Client.ExternalID}))
	var people struct{ Token string }
	f.call("POST", "/api/client/"+made.Client.ID+"/credentials",
		map[string]any{"kind": "tenant", "name": "people", "scope": "operate"}, &people)
	f.token, f.tenant = made.Client.Token, people.Token
	return f
}

// account is how EC2 is asked for the customer.
func (f *field) account() (a activities.Account) {
	f.t.Helper()
	require.NoError(f.t, f.DB.Pool.QueryRow(f.t.Context(),
		`SELECT id, role_arn, external_id FROM clients WHERE role_arn <> ''`).
		Scan(&a.ClientID, &a.RoleARN, &a.ExternalID))
	return a
}

// ask sends a request to the api and returns its status.
func (f *field) ask(method, path string, in, out any) int {
	f.t.Helper()
	raw, err := json.Marshal(in)
	require.NoError(f.t, err)
	return f.send(method, path, raw, out)
}

// tokenFor is that of the customer's agents for what agents call, and that of its people
// for the rest.
func (f *field) tokenFor(path string) string {
	if strings.HasPrefix(path, "/api/admin/") {
		return "" // the api is open to operators of this machine
	}
	if strings.HasPrefix(path, "/api/agents/") && !strings.HasSuffix(path, "/promote") {
		return f.token
	}
	return f.tenant
}

// send is ask for a body as it is.
func (f *field) send(method, path string, raw []byte, out any) int {
	f.t.Helper()
	r := httptest.NewRequestWithContext(f.t.Context(), method, path, bytes.NewReader(raw))
	r.RemoteAddr, r.Host = "127.0.0.1:1234", "127.0.0.1:5000"
	r.Header.Set("Content-Type", "application/json")
	if token := f.tokenFor(path); token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	f.api.ServeHTTP(w, r)
	f.log.Reset()
	f.log.Write(w.Body.Bytes())
	if out != nil {
		require.NoError(f.t, json.Unmarshal(w.Body.Bytes(), out), w.Body.String())
	}
	return w.Code
}

// call is ask for a request that has to succeed.
func (f *field) call(method, path string, in, out any) {
	f.t.Helper()
	status := f.ask(method, path, in, out)
	require.Less(f.t, status, 300, "%s %s: %s", method, path, f.log.String())
}

// machine launches an instance as a customer does.
func (f *field) machine(change ...func(*ec2.RunInstancesInput)) types.Instance {
	f.t.Helper()
	in := &ec2.RunInstancesInput{
		ImageId:               aws.String(simclient.PublicImage("us-east-1", "x86_64")),
		InstanceType:          fieldType,
		MinCount:              aws.Int32(1),
		MaxCount:              aws.Int32(1),
		Placement:             &types.Placement{AvailabilityZone: aws.String("us-east-1a")},
		InstanceMarketOptions: &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot},
		UserData:              aws.String("I2Nsb3VkLWNvbmZpZw=="),
	}
	for _, c := range change {
		c(in)
	}
	made, err := f.ec2.RunInstances(f.t.Context(), in)
	require.NoError(f.t, err)
	_, err = f.sim.Advance(f.t.Context(), time.Hour)
	require.NoError(f.t, err)
	return made.Instances[0]
}

// member is an agent on an instance of the customer.
type member struct {
	*field
	id, name, at string
}

func (f *field) join(name string, on types.Instance) *member {
	f.t.Helper()
	var answer struct {
		AgentID string `json:"agent_id"`
	}
	mode := "ondemand"
	if on.InstanceLifecycle == types.InstanceLifecycleTypeSpot {
		mode = "spot"
	}
	f.call("POST", "/api/agents/register", map[string]any{
		"client_token": f.token, "hostname": name, "logical_agent_id": name, "instance_id": *on.InstanceId,
		"instance_type": string(on.InstanceType), "region": "us-east-1", "az": *on.Placement.AvailabilityZone,
		"ami_id": *on.ImageId, "agent_version": "4.0.0", "mode": mode, "private_ip": "10.0.0.10",
	}, &answer)
	f.adopt(*on.InstanceId)
	f.learn()
	m := &member{field: f, id: answer.AgentID, name: name, at: *on.InstanceId}
	f.sells("us-east-1a", "us-east-1b", "us-east-1c")
	m.reportPrices("us-east-1a", "us-east-1b", "us-east-1c")
	return m
}

// adopt runs the activity that finds out at EC2 whose an instance is.
func (f *field) adopt(instanceID string) {
	f.t.Helper()
	a := &activities.Adoptions{Store: &agents.Adoptions{DB: f.DB}, Fleet: ec2Fleet{Provider: f.Fleet}, Log: f.Log}
	got, err := a.AdoptInstance(f.t.Context(), activities.AdoptInput{InstanceID: instanceID})
	require.NoError(f.t, err)
	require.True(f.t, got.Proven, got.Reason)
}

// learn runs the activity that notes what new primaries were launched with.
func (f *field) learn() {
	f.t.Helper()
	t := &activities.Templates{
		Store: &postgres.Templates{Launches: postgres.Launches{DB: f.DB}},
		Fleet: f.ec2Fleet(),
		Log:   f.Log,
	}
	_, err := t.NoteTemplates(f.t.Context())
	require.NoError(f.t, err)
}

// sells has EC2 show a spot price of the type in zones, as the collection reads it.
func (f *field) sells(zones ...string) {
	f.t.Helper()
	now := time.Now()
	moves := make([]activities.PriceChange, len(zones))
	for i, zone := range zones {
		moves[i] = activities.PriceChange{AZ: zone, Price: fmt.Sprintf("%.4f", 0.0325+float64(i)/1000), At: now}
	}
	store, place := &prices.Prices{DB: f.DB}, activities.TypeInRegion{Region: "us-east-1", InstanceType: fieldType}
	list := activities.ListPrice{Amount: 0.096, Currency: "USD"}
	require.NoError(f.t, store.KeepOnDemand(f.t.Context(), place, list, now))
	_, err := store.KeepPriceChanges(f.t.Context(), place, moves, now.Add(-time.Minute), now.Add(time.Millisecond))
	require.NoError(f.t, err)
}

// reportPrices reports what the type costs in zones.
func (m *member) reportPrices(zones ...string) {
	m.t.Helper()
	pools := make([]map[string]any, len(zones))
	for i, zone := range zones {
		pools[i] = map[string]any{
			"pool_id":       fieldType + "." + zone,
			"instance_type": fieldType,
			"az":            zone,
			"price":         0.0325 + float64(i)/1000,
		}
	}
	m.call("POST", "/api/agents/"+m.id+"/pricing-report", map[string]any{
		"instance": map[string]any{
			"instance_id":   m.at,
			"instance_type": fieldType,
			"region":        "us-east-1",
			"az":            zones[0],
			"mode":          "spot",
			"pool_id":       fieldType + "." + zones[0],
		},
		"pricing": map[string]any{
			"on_demand_price":    0.096,
			"current_spot_price": 0.0325,
			"cheapest_pool":      pools[0],
			"spot_pools":         pools,
			"collected_at":       time.Now().UTC().Format(time.RFC3339Nano),
		},
	}, nil)
}

// reportNotice reads what pages and the client see of the failover.
func (m *member) reportNotice(out *failover) {
	m.t.Helper()
	out.Launches = m.list(`SELECT mode || '/' || pool_id FROM launches WHERE agent_id = $1 ORDER BY created_at`, m.id)
	out.Notified = m.list(
		`
			SELECT n.message
			FROM notifications n
			JOIN agents a ON a.client_id = n.client_id
			WHERE a.id = $1 AND n.severity <> 'info'
			ORDER BY n.created_at`,
		m.id,
	)
	out.Steps = strings.Join(m.list(`SELECT s.name || ' [' || s.status || '] ' || s.detail FROM operation_steps s
		JOIN operations o ON o.id = s.operation_id WHERE o.agent_id = $1 ORDER BY o.started_at, s.seq`, m.id), "\n")
}

// list reads one column.
func (f *field) list(sql string, args ...any) (out []string) {
	f.t.Helper()
	rows, err := f.DB.Pool.Query(f.t.Context(), sql, args...)
	require.NoError(f.t, err)
	defer rows.Close()
	for rows.Next() {
		var s string
		require.NoError(f.t, rows.Scan(&s))
		out = append(out, s)
	}
	require.NoError(f.t, rows.Err())
	return out
}

func (f *field) fault(in simclient.Fault) {
	f.t.Helper()
	if in.Times == 0 {
		in.Times = -1
	}
	require.NoError(f.t, f.sim.AddFault(f.t.Context(), in))
}
