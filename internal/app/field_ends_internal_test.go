package app

import (
	"context"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/ec2sim"
	simclient "spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/fleet"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/sweeps"
)

// FollowNotice starts nothing.
func (deaf) FollowNotice(context.Context, *roles.TakenNotice) error { return nil }

// watchSilent has EC2 asked about primaries whose agents are silent, and says how many are
// lost.
func (m *member) watchSilent() int {
	m.t.Helper()
	_, err := m.DB.Pool.Exec(m.t.Context(), `UPDATE agents SET status = 'offline'`)
	require.NoError(m.t, err)
	_, err = m.DB.Pool.Exec(m.t.Context(), `UPDATE instances SET created_at = created_at - interval '2 hours'`)
	require.NoError(m.t, err)
	p := &activities.Primaries{
		Store:     &sweeps.Primaries{Launches: postgres.Launches{DB: m.DB}},
		Fleet:     m.ec2Fleet(),
		Workflows: deaf{},
		Log:       m.Log,
	}
	out, err := p.WatchPrimaries(m.t.Context(), activities.WatchPrimariesInput{})
	require.NoError(m.t, err)
	return out.Lost
}

// TestEndsThatAreNotTerminated (K5) are losses too.
func TestEndsThatAreNotTerminated(t *testing.T) {
	t.Parallel()

	behaving := func(b types.InstanceInterruptionBehavior) func(*ec2.RunInstancesInput) {
		return func(in *ec2.RunInstancesInput) {
			in.InstanceMarketOptions.SpotOptions = &types.SpotMarketOptions{
				SpotInstanceType:             types.SpotInstanceTypePersistent,
				InstanceInterruptionBehavior: b,
			}
		}
	}
	for name, c := range map[string]struct {
		change func(*ec2.RunInstancesInput)
		end    func(f *field, id string) error
		lost   int
	}{
		"stopped by EC2": {behaving(types.InstanceInterruptionBehaviorStop),
			func(f *field, id string) error { return f.sim.Interrupt(f.t.Context(), id, simclient.Terminate, 0) }, 1},
		"hibernated by EC2": {behaving(types.InstanceInterruptionBehaviorHibernate),
			func(f *field, id string) error { return f.sim.Interrupt(f.t.Context(), id, simclient.Terminate, 0) }, 1},
		"its host retired": {func(in *ec2.RunInstancesInput) { in.InstanceMarketOptions = nil },
			func(f *field, id string) error { return f.sim.Interrupt(f.t.Context(), id, simclient.Retire, 0) }, 1},
		"vanished for hours": {func(*ec2.RunInstancesInput) {}, func(f *field, id string) error {
			if err := f.sim.Interrupt(f.t.Context(), id, simclient.Terminate, 0); err != nil {
				return err
			}
			_, err := f.sim.Advance(f.t.Context(), 3*time.Hour)
			return err
		}, 1},
		"stopped by its owner": {func(in *ec2.RunInstancesInput) { in.InstanceMarketOptions = nil },
			func(f *field, id string) error {
				_, err := f.ec2.StopInstances(f.t.Context(), &ec2.StopInstancesInput{InstanceIds: []string{id}})
				return err
			}, 0},
		"silent and running": {func(*ec2.RunInstancesInput) {}, func(*field, string) error { return nil }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			f := newField(t, ec2sim.Options{})
			m := f.join("web", f.machine(c.change))
			require.NoError(t, c.end(f, m.at))
			require.Equal(t, c.lost, m.watchSilent())
			if c.lost > 0 {
				require.NotEmpty(t, m.lose().Successor)
			}
		})
	}
}

// TestARefusedRoleIsNotifiedOnceAnHour (K13), and that it is mended.
func TestARefusedRoleIsNotifiedOnceAnHour(t *testing.T) {
	t.Parallel()

	f := newField(t, ec2sim.Options{})
	f.join("web", f.machine())
	role := simclient.Role{ARN: f.account().RoleARN, ExternalID: f.account().ExternalID}
	gone := role
	gone.Gone = true
	require.NoError(t, f.sim.AddRole(t.Context(), gone))
	restarted := func() *fleet.Provider { // a process that has no session yet
		o := fleetOptions(f.Config.AWS)
		o.WatchRole = f.watchRole
		p, err := fleet.New(t.Context(), o)
		require.NoError(t, err)
		return p
	}
	for range 3 {
		_, err := restarted().Zones(t.Context(), fleet.Account(f.account()), "us-east-1")
		require.Error(t, err)
	}
	notified := func() []string {
		return f.list(`SELECT message FROM notifications WHERE dedup_key LIKE '%role-refused:%' ORDER BY created_at`)
	}
	require.Len(t, notified(), 1)
	require.Contains(t, notified()[0], "external id")
	require.NotContains(t, notified()[0], "sts:AssumeRole")

	require.NoError(t, f.sim.AddRole(t.Context(), role))
	for range 2 {
		_, err := restarted().Zones(t.Context(), fleet.Account(f.account()), "us-east-1")
		require.NoError(t, err)
	}
	require.Len(t, notified(), 2)
	require.Contains(t, notified()[1], "again")
}
