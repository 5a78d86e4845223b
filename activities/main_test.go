package activities_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/postgres/sweeps"
	"spotkeeper/internal/testkit/postgrestest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	postgrestest.Stop()
	if err := goleak.Find(); code == 0 && err != nil {
		slog.Error("goroutines are left", "error", err)
		code = 1
	}
	os.Exit(code)
}

// world is agent a1 of client k1 on i-0, the stores, and an EC2 with a memory.
type world struct {
	t         *testing.T
	db        *pg.DB
	roles     *postgres.Roles
	fleet     *fakeFleet
	instances *activities.Instances
	orphans   *activities.Orphans
	post      *post
}

// post takes the messages to workflows.
type post struct {
	wakes, nudges []string
	lost          error // what every message fails with
}

func (p *post) Wake(_ context.Context, agentID, _ string) error {
	p.wakes = append(p.wakes, agentID)
	return p.lost
}

func (p *post) Nudge(_ context.Context, in activities.Nudge) error {
	p.nudges = append(p.nudges, in.OperationID)
	return p.lost
}

func (p *post) StartOperation(context.Context, activities.OpenRow) (bool, error) { return true, p.lost }
func (p *post) Report(context.Context, activities.Report) error                  { return p.lost }

func newWorld(t *testing.T) *world {
	t.Helper()
	db, fleet, log := postgrestest.Open(t), newFakeFleet(), quiet
	now := func() time.Time { fleet.mu.Lock(); defer fleet.mu.Unlock(); return fleet.now }
	w := &world{t: t, db: db, fleet: fleet, roles: &postgres.Roles{DB: db}, post: &post{}}
	w.instances = &activities.Instances{
		Store:     &postgres.Launches{DB: db},
		Replicas:  w.roles,
		Workflows: w.post,
		Fleet:     fleet,
		Log:       log,
		Now:       now,
	}
	w.orphans = &activities.Orphans{Store: &sweeps.Orphans{DB: db}, Fleet: fleet, Log: log, Now: now}
	w.exec(`INSERT INTO clients (id, name, email, token_hash, token_sealed, role_arn, account_id)
		VALUES ('k1', 'Acme', 'k@x', '\x01', '\x01', 'arn:aws:iam::111111111111:role/spotkeeper-k1', '111111111111')`)
	w.exec(`INSERT INTO agents (id, client_id, logical_agent_id) VALUES ('a1', 'k1', 'web-1')`)
	w.exec(
		`
		INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode, launched_by,
			proof)
		VALUES ('i-0', 'k1', 'a1', 'primary', 't3.medium', 'us-east-1', 'us-east-1a', 't3.medium.us-east-1a', 'spot',
			'control-plane', 'launched')`,
	)
	w.exec(
		`
			INSERT INTO pools (id, instance_type, region, az)
			SELECT 't3.medium.us-east-1' || z, 't3.medium', 'us-east-1', 'us-east-1' || z
			FROM unnest(ARRAY['a', 'b', 'c']) z`,
	)
	fleet.become("i-0", activities.StateRunning, true)
	return w
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	_, err := w.db.Pool.Exec(w.t.Context(), sql, args...)
	require.NoError(w.t, err)
}

func one[T any](w *world, sql string, args ...any) T {
	w.t.Helper()
	var out T
	require.NoError(w.t, w.db.Pool.QueryRow(w.t.Context(), sql, args...).Scan(&out))
	return out
}

func (w *world) replica(kind replica.Kind) roles.Replica {
	w.t.Helper()
	opened, err := w.roles.OpenReplica(w.t.Context(), roles.ReplicaRequest{AgentID: "a1", Kind: kind, For: "i-0"})
	require.NoError(w.t, err)
	return opened.Replica
}

func (w *world) advance(id string, to replica.State, instanceID string) {
	w.t.Helper()
	_, err := w.roles.Advance(w.t.Context(), roles.ReplicaTransition{ReplicaID: id, To: to, InstanceID: instanceID})
	require.NoError(w.t, err)
}

func (w *world) promote(r roles.Replica, instanceID string, fate roles.OldPrimaryPolicy) {
	w.t.Helper()
	set, err := w.roles.Roles(w.t.Context(), "a1")
	require.NoError(w.t, err)
	_, err = w.roles.ChangeRoles(w.t.Context(), roles.RoleChange{
		AgentID:   "a1",
		Epoch:     set.Epoch,
		OldID:     set.Primary.ID,
		NewID:     instanceID,
		ReplicaID: r.ID,
		Cause:     roles.BySwitch,
		Fate:      fate,
	})
	require.NoError(w.t, err)
}

// place is a pool of t3.medium.
func place(zone string) replica.Candidate {
	az := "us-east-1" + zone
	return replica.Candidate{
		PoolID:       "t3.medium." + az,
		InstanceType: "t3.medium",
		Region:       "us-east-1",
		AZ:           az,
		Mode:         agent.Spot,
	}
}

func (w *world) launch(r roles.Replica, zone string) (*activities.LaunchResult, error) {
	return w.instances.LaunchInstance(w.t.Context(), activities.LaunchInput{
		AgentID:   "a1",
		ReplicaID: r.ID,
		Where:     place(zone),
		Operation: "replica/" + r.ID,
		Epoch:     1,
	})
}

// launched is a replica on a running instance of ours.
func (w *world) launched(kind replica.Kind, zone string) (roles.Replica, string) {
	w.t.Helper()
	r := w.replica(kind)
	made, err := w.launch(r, zone)
	require.NoError(w.t, err)
	w.advance(r.ID, replica.Ready, made.InstanceID)
	w.fleet.become(made.InstanceID, activities.StateRunning, true)
	return r, made.InstanceID
}

// TestNamesAreUnique holds the rule that makes a method's name an activity type.
func TestNamesAreUnique(t *testing.T) {
	t.Parallel()

	seen := map[string]string{}
	for _, set := range []any{&activities.Roles{}, &activities.Instances{}, &activities.Operations{},
		&activities.Switches{}, &activities.Messages{},
		&activities.Agents{}, &activities.Orphans{}, &activities.Primaries{}, &activities.Templates{},
		&activities.Jobs{}, &activities.Adoptions{}} {
		of := reflect.TypeOf(set)
		for m := range of.Methods() {
			require.Empty(t, seen[m.Name], "%s is a method of two structs", m.Name)
			seen[m.Name] = of.String()
			require.Equal(t, reflect.TypeFor[context.Context](), m.Type.In(1), "%s takes a context", m.Name)
		}
	}
}

func lines(parts ...any) string { return strings.TrimSpace(fmt.Sprintln(parts...)) }

func silence(w *world) activities.AgentStore { return &sweeps.Silence{DB: w.db} }
