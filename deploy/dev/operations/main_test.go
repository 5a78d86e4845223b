// Package operations runs every workflow against a real Temporal server, a real
// database and a simulated EC2, and can keep the histories that this makes.
package operations

import (
	"context"
	"flag"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/devtest"
	"spotkeeper/internal/domain/roles"
	simclient "spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/temporalx"
	"spotkeeper/internal/testkit/histories"
	"spotkeeper/workflows"
)

var record = flag.String("histories", "", "keep the histories of the runs in this directory")

// patience is how long an operation may take here, where nothing has a delay.
const patience = time.Minute

// keeper is a stack and what tests do with it.
type keeper struct {
	*devtest.Stack
	t         *testing.T
	workflows *workflows.Client
	roles     *postgres.Roles
	pool      *pgxpool.Pool
	sim       *simclient.Client
	ec2       *ec2.Client
	token     string
	byName    map[string]string // ids of agents, for tests with several
}

func newKeeper(t *testing.T) *keeper {
	t.Helper()
	return newKeeperOf(t, devtest.Options{})
}

func newKeeperOf(t *testing.T, o devtest.Options) *keeper {
	t.Helper()
	s := devtest.Start(t, o)
	httpc := &http.Client{Timeout: 15 * time.Second}
	t.Cleanup(httpc.CloseIdleConnections)
	tc, err := temporalx.Connect(temporalx.Options{Address: s.Temporal, Namespace: s.Namespace})
	require.NoError(t, err)
	t.Cleanup(tc.Close)
	db, err := pg.Open(t.Context(), pg.Options{URL: s.DatabaseURL})
	require.NoError(t, err)
	t.Cleanup(db.Close)
	k := &keeper{
		Stack:     s,
		t:         t,
		workflows: &workflows.Client{Temporal: tc, Queue: "control"},
		roles:     &postgres.Roles{DB: db},
		pool:      db.Pool,
		sim:       simclient.NewClient(s.EC2, httpc),
		byName:    map[string]string{},
	}
	who, err := s.NewTenant(t.Context(), t.Name(), nil)
	require.NoError(t, err)
	k.token, k.ec2 = who.Token, s.EC2Of(who.Account, httpc)
	return k
}

// call sends an HTTP request and requires a 2xx answer.
func (k *keeper) call(method, path string, in, out any) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), patience)
	defer cancel()
	status, err := k.Call(ctx, method, path, k.token, in, out)
	require.NoError(k.t, err)
	require.Less(k.t, status, 300, "%s %s: %v", method, path, out)
}

// agent registers an agent on a fresh instance.
func (k *keeper) agent(name string) (agentID, instanceID string) {
	k.t.Helper()
	images, err := k.ec2.DescribeImages(k.t.Context(), &ec2.DescribeImagesInput{
		Filters: []types.Filter{{Name: aws.String("architecture"), Values: []string{"x86_64"}}}})
	require.NoError(k.t, err)
	require.NotEmpty(k.t, images.Images)
	run, err := k.ec2.RunInstances(k.t.Context(), &ec2.RunInstancesInput{
		ImageId: images.Images[0].ImageId, InstanceType: "t3.medium", MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		Placement:             &types.Placement{AvailabilityZone: aws.String("us-east-1a")},
		InstanceMarketOptions: &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot},
	})
	require.NoError(k.t, err)
	instanceID = aws.ToString(run.Instances[0].InstanceId)
	agentID = k.register(name, instanceID, "t3.medium.us-east-1a")
	require.Eventually(k.t, func() bool { // nothing is launched for what is not proven
		var proof string
		err := k.pool.QueryRow(k.t.Context(), `SELECT proof FROM instances WHERE id = $1`, instanceID).Scan(&proof)
		return err == nil && proof == "adopted"
	}, patience, 20*time.Millisecond)
	return agentID, instanceID
}

// register is what an agent does first on an instance.
func (k *keeper) register(name, instanceID, pool string) (agentID string) {
	k.t.Helper()
	var answer struct {
		AgentID string `json:"agent_id"`
	}
	k.call("POST", "/api/agents/register", map[string]any{
		"client_token":     k.token,
		"hostname":         name,
		"logical_agent_id": name,
		"instance_id":      instanceID,
		"instance_type":    "t3.medium",
		"region":           "us-east-1",
		"az":               strings.TrimPrefix(pool, "t3.medium."),
		"ami_id":           simclient.PublicImage("us-east-1", "x86_64"),
		"agent_version":    "4.0.0",
		"mode":             "spot",
		"private_ip":       "10.0.0.10",
		"public_ip":        nil,
	}, &answer)
	require.NotEmpty(k.t, answer.AgentID)
	return answer.AgentID
}

// set reads an agent's roles.
func (k *keeper) set(agentID string) *roles.AgentRoles {
	k.t.Helper()
	set, err := k.roles.Roles(k.t.Context(), agentID)
	require.NoError(k.t, err)
	return set
}

// until waits for an agent's roles to be so.
func (k *keeper) until(t *testing.T, agentID, what string, so func(*roles.AgentRoles) bool) *roles.AgentRoles {
	t.Helper()
	var last *roles.AgentRoles
	require.Eventually(t, func() bool {
		last = k.set(agentID)
		return so(last)
	}, patience, 50*time.Millisecond, "%s: %s", agentID, what)
	return last
}

// ended waits for an operation to be over, and returns how it ended.
func (k *keeper) ended(t *testing.T, operationID string) (state string) {
	t.Helper()
	require.Eventually(t, func() bool {
		err := k.pool.QueryRow(t.Context(), `SELECT state FROM operations WHERE id = $1`, operationID).Scan(&state)
		return err == nil && state != "running"
	}, 2*patience, 100*time.Millisecond, operationID)
	return state
}

// running says whether EC2 still runs an instance.
func (k *keeper) running(instanceID string) bool {
	k.t.Helper()
	state, err := k.sim.State(k.t.Context())
	require.NoError(k.t, err)
	for _, i := range state.Instances {
		if i.InstanceID == instanceID {
			return i.State == "running" || i.State == "pending"
		}
	}
	return false
}

// keep writes the histories, when asked to.
func (k *keeper) keep(t *testing.T) {
	t.Helper()
	if *record == "" {
		return
	}
	require.Eventually(t, func() bool {
		n, err := k.workflows.Temporal.CountWorkflow(t.Context(), countRunning)
		return err == nil && n.GetCount() == 0
	}, 5*time.Minute, time.Second)
	kept, err := histories.Record(t.Context(), k.workflows.Temporal, "control", filepath.Clean(*record), 12)
	require.NoError(t, err)
	t.Log("recorded", kept)
}
