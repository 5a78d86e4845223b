package app

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/ec2sim"
	simclient "spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/events"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/awsevents"
	"spotkeeper/internal/postgres/sweeps"
)

// TestAClientOfOurAccount: instances of a client that has no role, because they live in the
// control plane's own account, are examined, watched and looked for like those of others.
func TestAClientOfOurAccount(t *testing.T) {
	t.Parallel()

	f := newField(t, ec2sim.Options{})
	_, err := f.DB.Pool.Exec(t.Context(), `UPDATE clients SET role_arn = '', account_id = '', own_account = true`)
	require.NoError(t, err)
	o := f.ec2.Options()
	o.Credentials = credentials.NewStaticCredentialsProvider(simclient.AccessKey(simclient.DefaultAccount), "simulated", "")
	f.ec2 = ec2.New(o)
	clientID := f.list(`SELECT id FROM clients`)[0]
	marked := func(in *ec2.RunInstancesInput) {
		in.TagSpecifications = []types.TagSpecification{{ResourceType: types.ResourceTypeInstance,
			Tags: []types.Tag{{Key: aws.String("spotkeeper:client"), Value: aws.String(clientID)}}}}
	}
	m := f.join("web", f.machine(marked))

	f.call("GET", "/api/client/agents/"+m.id+"/preflight?run=true", nil, nil)
	require.Contains(t, f.log.String(), `"launch of spot/m5.large.us-east-1b","result":"ok"`)

	standby := *f.machine(marked).InstanceId
	for _, sql := range []string{
		`INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode, ami_id, launched_by,
			proof)
		SELECT $1, client_id, agent_id, 'replica', instance_type, region, az, pool_id, mode, ami_id, 'control-plane', 'launched'
		FROM instances`,
		`INSERT INTO replicas (id, client_id, agent_id, kind, made_for, launcher, state, instance_id, pool_id)
		SELECT 'r1', client_id, agent_id, 'manual', id, 'control-plane', 'ready', $1, pool_id
		FROM instances
		WHERE role = 'primary'`,
	} {
		_, err := f.DB.Pool.Exec(t.Context(), sql, standby)
		require.NoError(t, err)
	}
	_, err = f.ec2.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{standby}})
	require.NoError(t, err)
	watch := &activities.Standbys{
		Store: &sweeps.Standbys{Roles: postgres.Roles{DB: f.DB}, Launches: postgres.Launches{DB: f.DB}},
		Fleet: f.ec2Fleet(), Workflows: deaf{}, Log: f.Log,
	}
	seen, err := watch.WatchStandbys(t.Context())
	require.NoError(t, err)
	require.Equal(t, &activities.WatchStandbysResult{Watched: 1, Lost: 1}, seen)

	intake := &awsevents.Intake{Notices: postgres.Notices{DB: f.DB}, OwnAccount: f.Fleet.OwnAccount}
	owners, err := intake.Owners(t.Context(), []events.Event{{InstanceID: m.at, Account: simclient.DefaultAccount}})
	require.NoError(t, err)
	require.False(t, owners[0].Foreign)
	state, err := f.ec2Fleet().State(t.Context(), owners[0].Account, owners[0].Region, m.at)
	require.NoError(t, err)
	require.Equal(t, activities.StateRunning, state.State)
}
