package app

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/ec2sim"
	simclient "spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/fleet"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/postgres/sweeps"
	"spotkeeper/internal/testkit/postgrestest"
)

const (
	simRegion = "us-east-1"
	simZone   = "us-east-1b"
)

// simulated is agent a1 of client k1 on an instance of the simulator, and the
// steps of the worker over the real provider and the real stores.
type simulated struct {
	t         *testing.T
	ctx       context.Context //nolint:containedctx // the test's
	db        *pg.DB
	control   *simclient.Client
	roles     *postgres.Roles
	instances *activities.Instances
	standbys  *activities.Standbys
	orphans   *activities.Orphans
	primary   string
}

// deaf takes messages to workflows and does nothing with them.
type deaf struct{ activities.Messenger }

func (deaf) Wake(context.Context, string, string) error    { return nil }
func (deaf) Nudge(context.Context, activities.Nudge) error { return nil }

func simulate(t *testing.T) *simulated {
	t.Helper()
	sim := ec2sim.New(ec2sim.Options{Delays: simclient.Delays{Pending: 16, Checks: 10, ShuttingDown: 5}})
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	t.Cleanup(func() { require.NoError(t, sim.Close()) })
	provider, err := fleet.New(t.Context(), fleet.Options{
		Region:      simRegion,
		Endpoint:    server.URL,
		STSEndpoint: server.URL,
		Credentials: fleet.StaticCredentials("test", "test"),
	})
	require.NoError(t, err)
	db, log := postgrestest.Open(t), slog.New(slog.DiscardHandler)
	s := &simulated{
		t:       t,
		ctx:     t.Context(),
		db:      db,
		control: simclient.NewClient(server.URL, server.Client()),
		roles:   &postgres.Roles{DB: db},
		instances: &activities.Instances{
			Store:     &postgres.Launches{DB: db},
			Replicas:  &postgres.Roles{DB: db},
			Workflows: deaf{},
			Fleet:     ec2Fleet{Provider: provider},
			Log:       log,
		},
		standbys: &activities.Standbys{
			Store:     &sweeps.Standbys{Roles: postgres.Roles{DB: db}, Launches: postgres.Launches{DB: db}},
			Fleet:     ec2Fleet{Provider: provider},
			Workflows: deaf{},
			Log:       log,
		},
		orphans: &activities.Orphans{Store: &sweeps.Orphans{DB: db}, Fleet: ec2Fleet{Provider: provider}, Log: log},
	}
	_, err = s.control.Freeze(t.Context())
	require.NoError(t, err)
	const role, external = "arn:aws:iam::111111111111:role/spotkeeper-k1", "x1"
	require.NoError(t, s.control.AddRole(s.ctx, simclient.Role{ARN: role, ExternalID: external}))
	made, err := provider.Launch(t.Context(), fleet.Account{
		ClientID:   "k1",
		RoleARN:    role,
		ExternalID: external,
	}, fleet.LaunchRequest{
		ClientToken:  "primary",
		Region:       simRegion,
		Mode:         agent.Spot,
		InstanceType: "t3.medium",
		AZ:           "us-east-1a",
		ImageID:      simclient.PublicImage(simRegion, "x86_64"),
		Tags:         map[string]string{"Name": "web", fleet.TagManagedBy: fleet.ManagedBy, fleet.TagClient: "k1"},
	})
	require.NoError(t, err)
	s.primary = made.ID
	s.exec(`INSERT INTO clients (id, name, email, token_hash, token_sealed, account_id, role_arn, external_id)
		VALUES ('k1', 'Acme', 'k@x', '\x01', '\x01', '111111111111', $1, $2)`, role, external)
	s.exec(`INSERT INTO agents (id, client_id, logical_agent_id) VALUES ('a1', 'k1', 'web-1')`)
	s.exec(`INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode, proof)
		VALUES ($1, 'k1', 'a1', 'primary', 't3.medium', 'us-east-1', 'us-east-1a', 't3.medium.us-east-1a', 'spot',
			'launched')`, made.ID)
	return s
}

func (s *simulated) exec(sql string, args ...any) {
	s.t.Helper()
	_, err := s.db.Pool.Exec(s.ctx, sql, args...)
	require.NoError(s.t, err)
}

func (s *simulated) pass(d time.Duration) {
	s.t.Helper()
	_, err := s.control.Advance(s.ctx, d)
	require.NoError(s.t, err)
}

func (s *simulated) open(kind replica.Kind) string {
	s.t.Helper()
	opened, err := s.roles.OpenReplica(s.ctx, roles.ReplicaRequest{AgentID: "a1", Kind: kind, For: s.primary})
	require.NoError(s.t, err)
	return opened.Replica.ID
}

func (s *simulated) launch(replicaID, zone string) (string, error) {
	made, err := s.instances.LaunchInstance(s.ctx, activities.LaunchInput{
		AgentID:   "a1",
		ReplicaID: replicaID,
		Operation: "replica/" + replicaID,
		Epoch:     3,
		Where: replica.Candidate{
			PoolID:       "t3.medium." + zone,
			InstanceType: "t3.medium",
			Region:       simRegion,
			AZ:           zone,
			Mode:         agent.Spot,
		},
	})
	if err != nil {
		return "", err
	}
	return made.InstanceID, nil
}

func (s *simulated) live() []string {
	s.t.Helper()
	found, err := s.control.Live(s.ctx, "")
	require.NoError(s.t, err)
	ids := []string{}
	for _, i := range found {
		ids = append(ids, i.InstanceID)
	}
	return ids
}

// TestAReplicaAtEC2 takes a replica from the first full pool to its end, through
// the SDK, with an answer that is lost on the way.
func TestAReplicaAtEC2(t *testing.T) {
	t.Parallel()

	s := simulate(t)
	id := s.open(replica.Manual)
	_, err := s.control.SetCapacity(t.Context(), simclient.Capacity{Pool: "t3.medium.us-east-1c", Limit: 0})
	require.NoError(t, err)
	_, err = s.launch(id, "us-east-1c")
	require.Equal(t, replica.NoCapacity, fault.CodeOf(err), "%v", err)
	require.NoError(t, s.control.AddFault(t.Context(), simclient.Fault{Action: "RunInstances", Mode: simclient.FaultLost}))
	_, err = s.launch(id, simZone)
	require.Equal(t, fleet.Unavailable, fault.CodeOf(err), "%v", err)
	made, err := s.launch(id, simZone)
	require.NoError(t, err)
	again, err := s.launch(id, simZone)
	require.NoError(t, err)
	require.Equal(t, made, again)
	require.ElementsMatch(t, []string{s.primary, made}, s.live(), "one decision, one instance")

	watch := activities.WatchInput{AgentID: "a1", InstanceID: made}
	up := activities.UpInput{AgentID: "a1", InstanceID: made, ReplicaID: id}
	_, err = s.instances.AwaitUp(t.Context(), up)
	require.Equal(t, replica.NotRunning, fault.CodeOf(err))
	s.pass(16 * time.Second)
	_, err = s.instances.AwaitUp(t.Context(), up)
	require.Equal(t, replica.NotRunning, fault.CodeOf(err), "its checks are not passed yet")
	s.pass(10 * time.Second)
	seen, err := s.instances.AwaitUp(t.Context(), up)
	require.NoError(t, err)
	require.Equal(t, &activities.InstanceState{
		State:    "running",
		ChecksOK: true,
		Mode:     agent.Spot,
		PoolID:   "t3.medium." + simZone,
	}, seen)

	ok, err := s.roles.Advance(t.Context(), roles.ReplicaTransition{ReplicaID: id, To: replica.Ready, InstanceID: made})
	require.NoError(t, err)
	require.True(t, ok)
	set, err := s.roles.ChangeRoles(t.Context(), roles.RoleChange{
		AgentID:   "a1",
		OldID:     s.primary,
		NewID:     made,
		ReplicaID: id,
		Cause:     roles.BySwitch,
		Fate:      roles.RetireOld,
	})
	require.NoError(t, err)
	require.Equal(t, roles.Instance{
		ID:           made,
		InstanceType: "t3.medium",
		Region:       simRegion,
		AZ:           simZone,
		PoolID:       "t3.medium." + simZone,
		Mode:         agent.Spot,
		Role:         agent.Primary,
	}, set.Primary)
	require.Equal(t, roles.IsPrimary, fault.CodeOf(s.instances.RetireInstance(t.Context(), watch)))
	old := activities.WatchInput{AgentID: "a1", InstanceID: s.primary}
	for range 2 {
		require.NoError(t, s.instances.RetireInstance(t.Context(), old))
	}
	s.pass(5 * time.Second)
	_, err = s.instances.AwaitGone(t.Context(), old)
	require.NoError(t, err)
	require.Equal(t, []string{made}, s.live())
}

// TestTheWatchAtEC2 asks about all standbys at once, and fails one that has ended.
func TestTheWatchAtEC2(t *testing.T) {
	t.Parallel()

	s := simulate(t)
	id := s.open(replica.Manual)
	made, err := s.launch(id, simZone)
	require.NoError(t, err)
	_, err = s.roles.Advance(t.Context(), roles.ReplicaTransition{ReplicaID: id, To: replica.Ready, InstanceID: made})
	require.NoError(t, err)
	s.pass(16 * time.Second)
	seen, err := s.standbys.WatchStandbys(t.Context())
	require.NoError(t, err)
	require.Equal(t, &activities.WatchStandbysResult{Watched: 1}, seen)

	_, err = s.control.Signal(t.Context(), simclient.Interruption{
		InstanceID:    made,
		Kind:          simclient.Notice,
		NoticeSeconds: 120,
	})
	require.NoError(t, err)
	s.pass(3 * time.Minute)
	seen, err = s.standbys.WatchStandbys(t.Context())
	require.NoError(t, err)
	require.Equal(t, &activities.WatchStandbysResult{Watched: 1, Lost: 1}, seen)
	row, err := s.roles.LoadReplica(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, replica.Failed, row.Replica.State)
	require.Contains(t, row.Error, "Server.SpotInstanceTermination")
}

// TestTheSweepAtEC2 finds by its tags what no row has.
func TestTheSweepAtEC2(t *testing.T) {
	t.Parallel()

	s := simulate(t)
	id := s.open(replica.Manual)
	require.NoError(t, s.control.AddFault(t.Context(), simclient.Fault{Action: "RunInstances", Mode: simclient.FaultLost}))
	_, err := s.launch(id, simZone)
	require.Error(t, err)
	_, err = s.roles.Advance(t.Context(), roles.ReplicaTransition{ReplicaID: id, To: replica.Failed})
	require.NoError(t, err)
	require.Len(t, s.live(), 2)

	var later atomic.Int64
	s.orphans.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	sweep := func() *activities.SweepResult {
		t.Helper()
		got, err := s.orphans.SweepOrphans(t.Context(), activities.SweepInput{})
		require.NoError(t, err)
		return got
	}
	require.Zero(t, sweep().Seen, "it is too young")
	later.Store(int64(time.Hour))
	require.Equal(t, &activities.SweepResult{Places: 1, Seen: 2, Suspects: 1}, sweep(),
		"the primary, which is adopted, and the other")
	s.exec(`UPDATE orphan_sightings SET last_seen_at = now() - interval '10 minutes'`)
	require.Equal(t, &activities.SweepResult{Places: 1, Seen: 2, Suspects: 1, Terminated: 1}, sweep())
	s.pass(time.Minute)
	require.Equal(t, []string{s.primary}, s.live())
	require.Equal(t, &activities.SweepResult{Places: 1, Seen: 1}, sweep())
}
