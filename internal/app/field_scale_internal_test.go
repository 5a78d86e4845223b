package app

import (
	"flag"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/ec2sim"
	"spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/sweeps"
)

// calls is how many calls EC2 has had so far.
func (f *field) calls() (n int64) {
	f.t.Helper()
	counts, err := f.sim.Counts(f.t.Context())
	require.NoError(f.t, err)
	for _, c := range counts.Calls {
		n += c
	}
	return n
}

var standbys = flag.Int("standbys", 2000, "how many standbys TestManyStandbys watches; `make large` takes 10000")

// TestManyStandbys: a run of the watch, once a minute, asks EC2 once for each 200 standbys of
// an account, so 10,000 cost less than one call a second. Two runs, a minute of EC2's time
// apart, are counted at EC2; before the first the account's role is assumed.
func TestManyStandbys(t *testing.T) {
	t.Parallel()

	const perLaunch, perCall, apart = 1000, 200, time.Minute
	many := *standbys
	f := newField(t, ec2sim.Options{})
	var ids []string
	for range many / perLaunch {
		made, err := f.ec2.RunInstances(t.Context(), &ec2.RunInstancesInput{
			ImageId:      aws.String(client.PublicImage("us-east-1", "x86_64")),
			InstanceType: types.InstanceTypeM5Large,
			MinCount:     aws.Int32(perLaunch),
			MaxCount:     aws.Int32(perLaunch),
			Placement:    &types.Placement{AvailabilityZone: aws.String("us-east-1b")},
		})
		require.NoError(t, err)
		for _, i := range made.Instances {
			ids = append(ids, *i.InstanceId)
		}
	}
	client := f.account().ClientID
	for _, statement := range []string{
		`INSERT INTO agents (id, client_id, logical_agent_id) SELECT 'a-' || id, $1, 'a-' || id FROM unnest($2::text[]) id`,
		`INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode, launched_by, proof,
			created_at)
		SELECT id, $1, 'a-' || id, 'replica', 'm5.large', 'us-east-1', 'us-east-1b', 'm5.large.us-east-1b', 'spot',
			'control-plane', 'launched', now() - interval '2 hours' FROM unnest($2::text[]) id`,
		`INSERT INTO replicas (id, client_id, agent_id, kind, made_for, state, launcher, pool_id, instance_id)
		SELECT 'r-' || id, $1, 'a-' || id, 'manual', 'i-0', 'ready', 'control-plane', 'm5.large.us-east-1b', id
		FROM unnest($2::text[]) id`,
	} {
		_, err := f.DB.Pool.Exec(t.Context(), statement, client, ids)
		require.NoError(t, err)
	}
	watch := &activities.Standbys{
		Store: &sweeps.Standbys{Roles: postgres.Roles{DB: f.DB}, Launches: postgres.Launches{DB: f.DB}},
		Fleet: f.ec2Fleet(), Workflows: deaf{}, Log: f.Log,
	}
	for run := range 2 {
		before := f.calls()
		out, err := watch.WatchStandbys(t.Context())
		require.NoError(t, err)
		require.Equal(t, activities.WatchStandbysResult{Watched: many}, *out)
		asked := f.calls() - before
		if run == 0 {
			asked-- // AssumeRole
		}
		require.EqualValues(t, many/perCall, asked)
		_, err = f.sim.Advance(t.Context(), apart)
		require.NoError(t, err)
	}
}
