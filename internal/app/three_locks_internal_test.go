package app

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/adoption"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/ec2sim"
	"spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/fleet"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/agents"
	"spotkeeper/internal/testkit/iam"
)

// withoutTags are calls that no condition of a policy can bind to our tags: a spot request
// carries those of the one who made it. The row and the tags of its instance stand before it.
var withoutTags = []string{"CancelSpotInstanceRequests"}

// asksOnly are the methods of the fleet that change nothing at EC2.
var asksOnly = []string{"Launched", "Template", "Freeze", "Revise", "State", "Ours"}

// changing is one way in which activities change something at EC2.
type changing struct {
	method string   // of activities.Fleet
	calls  []string // of EC2, that it leads to
	do     func(*locks) error
	row    string // closes the first lock: what Postgres says of the instance $1
	tags   func(*locks)
}

// locks is a primary and a replica that run, both adopted, with what acts on them.
type locks struct {
	*member
	standby string
	replica string
	steps   *activities.Instances
}

var changings = map[string]changing{
	"ending an instance": {
		method: "Terminate", calls: []string{"TerminateInstances", "CancelSpotInstanceRequests"}, row: unprove, tags: (*locks).untag,
		do: func(l *locks) error {
			return l.steps.RetireInstance(l.t.Context(), activities.WatchInput{AgentID: l.id, InstanceID: l.standby})
		},
	},
	"keeping one from coming back": { // EC2 is asked for the request, which the simulator ends with its instance
		method: "CancelRequest", calls: []string{"DescribeSpotInstanceRequests"}, row: unprove, tags: (*locks).untag,
		do: func(l *locks) error {
			_, err := l.sim.SetCapacity(l.t.Context(), client.Capacity{Pool: fieldType + ".us-east-1a", Limit: 0}) // not yet
			require.NoError(l.t, err)
			_, err = l.ec2.TerminateInstances(l.t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{l.standby}})
			require.NoError(l.t, err)
			_, err = l.sim.Advance(l.t.Context(), 20*time.Second)
			require.NoError(l.t, err)
			_, err = l.steps.AwaitGone(l.t.Context(), activities.WatchInput{AgentID: l.id, InstanceID: l.standby})
			return err
		},
	},
	"launching a copy": {
		method: "Launch", calls: []string{"RunInstances", "ModifyInstanceAttribute"},
		row: `UPDATE instances SET proof = 'unproven', adopted_at = NULL WHERE agent_id = (SELECT agent_id FROM instances WHERE id = $1)`,
		tags: func(l *locks) { // of the request, which is stored before it is sent
			l.fault(client.Fault{Action: "RunInstances", Code: "Unavailable", Times: 1})
			require.Error(l.t, l.launch())
			changed, err := l.DB.Pool.Exec(l.t.Context(),
				`UPDATE launches SET request = replace(request::text, $1, 'another')::jsonb`, l.account().ClientID)
			require.NoError(l.t, err)
			require.EqualValues(l.t, 1, changed.RowsAffected())
		},
		do: (*locks).launch,
	},
	"adopting an instance": {
		method: "Adopt", calls: []string{"CreateTags"},
		row:  `UPDATE instances SET role = 'retired', terminated_at = now() WHERE id = $1`,
		tags: func(l *locks) { l.tag("spotkeeper:client", "another") },
		do: func(l *locks) error {
			a := &activities.Adoptions{Store: &agents.Adoptions{DB: l.DB}, Fleet: l.ec2Fleet(), Log: l.Log}
			got, err := a.AdoptInstance(l.t.Context(), activities.AdoptInput{InstanceID: l.standby})
			if err == nil && got.Cause != "" {
				return adoption.NotOurs.New("%s", got.Reason)
			}
			return err
		},
	},
}

func (l *locks) launch() error {
	_, err := l.steps.LaunchInstance(l.t.Context(), activities.LaunchInput{
		AgentID: l.id, ReplicaID: l.replica, Operation: "replica/" + l.replica,
		Where: replica.Candidate{PoolID: agent.PoolID(fieldType, "us-east-1b"), InstanceType: fieldType,
			Region: "us-east-1", AZ: "us-east-1b", Mode: agent.Spot},
	})
	return err
}

const unprove = `UPDATE instances SET proof = 'unproven', adopted_at = NULL WHERE id = $1`

func (l *locks) untag() {
	l.t.Helper()
	_, err := l.ec2.DeleteTags(l.t.Context(), &ec2.DeleteTagsInput{
		Resources: []string{l.standby}, Tags: []types.Tag{{Key: aws.String(fleet.TagClient)}},
	})
	require.NoError(l.t, err)
}

func (l *locks) tag(key, value string) {
	l.t.Helper()
	_, err := l.ec2.CreateTags(l.t.Context(), &ec2.CreateTagsInput{
		Resources: []string{l.standby}, Tags: []types.Tag{{Key: &key, Value: &value}},
	})
	require.NoError(l.t, err)
}

func newLocks(t *testing.T) *locks {
	t.Helper()
	f := newField(t, ec2sim.Options{})
	primary := f.machine()
	_, err := f.ec2.ModifyInstanceAttribute(t.Context(), &ec2.ModifyInstanceAttributeInput{ // copies need the call too
		InstanceId: primary.InstanceId, SourceDestCheck: &types.AttributeBooleanValue{Value: aws.Bool(false)}})
	require.NoError(t, err)
	l := &locks{member: f.join("web", primary)}
	l.standby = *f.machine(func(in *ec2.RunInstancesInput) {
		in.InstanceMarketOptions.SpotOptions = &types.SpotMarketOptions{
			SpotInstanceType: types.SpotInstanceTypePersistent, InstanceInterruptionBehavior: types.InstanceInterruptionBehaviorStop}
	}).InstanceId
	store := &postgres.Roles{DB: f.DB}
	opened, err := store.OpenReplica(t.Context(), roles.ReplicaRequest{AgentID: l.id, Kind: replica.Manual, For: l.at,
		InstanceID: l.standby, Plan: replica.Plan{Mode: agent.Spot, Pool: fieldType + ".us-east-1a"}})
	require.NoError(t, err)
	l.replica = opened.Replica.ID
	l.steps = &activities.Instances{Store: &postgres.Launches{DB: f.DB}, Replicas: store, Workflows: f.Workflows,
		Fleet: f.ec2Fleet(), Log: f.Log}
	return l
}

// made is how often EC2 was asked for each of the calls.
func (l *locks) made(calls []string) (out []int64) {
	l.t.Helper()
	counts, err := l.sim.Counts(l.t.Context())
	require.NoError(l.t, err)
	for _, call := range calls {
		out = append(out, counts.Calls[call])
	}
	return out
}

// TestThreeLocksBeforeEachChange walks what changes something at EC2, by the methods of
// the fleet and by the calls of EC2. Each is done when the row of the instance, the tags
// at EC2 and the session's policy allow it, and not done when one of them does not.
func TestThreeLocksBeforeEachChange(t *testing.T) {
	t.Parallel()
	methods, calls := map[string]bool{}, map[string]bool{}
	for _, way := range changings {
		methods[way.method] = true
		for _, call := range way.calls {
			calls[call] = true
		}
	}
	port := reflect.TypeFor[activities.Fleet]()
	for n := range port.NumMethod() {
		name := port.Method(n).Name
		require.NotEqual(t, methods[name], slices.Contains(asksOnly, name), "%s changes EC2, or it only asks: say which", name)
	}
	api := reflect.TypeFor[fleet.EC2API]()
	for n := range api.NumMethod() {
		name := api.Method(n).Name
		reads := strings.HasPrefix(name, "Describe") || strings.HasPrefix(name, "Get")
		require.True(t, reads || calls[name], "%s changes EC2: show its locks", name)
	}
	for name, way := range changings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Run("the row", func(t *testing.T) {
				t.Parallel()
				l := newLocks(t)
				if way.method != "Adopt" {
					l.adopt(l.standby)
				}
				_, err := l.DB.Pool.Exec(t.Context(), way.row, l.standby)
				require.NoError(t, err)
				before := l.made(way.calls)
				if err := way.do(l); err != nil {
					require.Equal(t, adoption.NotProven, fault.CodeOf(err), "%v", err)
				}
				require.Equal(t, before, l.made(way.calls))
			})
			t.Run("the tags", func(t *testing.T) {
				t.Parallel()
				l := newLocks(t)
				if way.method != "Adopt" {
					l.adopt(l.standby)
				}
				way.tags(l)
				before := l.made(way.calls)
				require.Equal(t, adoption.NotOurs, fault.CodeOf(way.do(l)))
				require.Equal(t, before, l.made(way.calls))
			})
			t.Run("the policy", func(t *testing.T) {
				t.Parallel()
				text, err := fleet.SessionPolicy("aws", "c1")
				require.NoError(t, err)
				session, err := iam.Parse(text)
				require.NoError(t, err)
				for _, call := range way.calls {
					if strings.HasPrefix(call, "Describe") {
						continue
					}
					key := "aws:ResourceTag/"
					if call == "RunInstances" || call == "CreateTags" {
						key = "aws:RequestTag/"
					}
					ask := func(client string) iam.Decision {
						return iam.Decide(iam.Request{Action: "ec2:" + call, Resource: "arn:aws:ec2:us-east-1:1:instance/i-1",
							Context: map[string][]string{key + fleet.TagManagedBy: {fleet.ManagedBy}, key + fleet.TagClient: {client}}}, session)
					}
					require.Equal(t, iam.Allow, ask("c1"), call)
					if !slices.Contains(withoutTags, call) {
						require.Equal(t, iam.ImplicitDeny, ask("c2"), call)
						require.Equal(t, iam.ImplicitDeny, iam.Decide(iam.Request{Action: "ec2:" + call,
							Resource: "arn:aws:ec2:us-east-1:1:instance/i-1"}, session), call)
					}
				}
			})
			t.Run("all open", func(t *testing.T) {
				t.Parallel()
				l := newLocks(t)
				if way.method != "Adopt" {
					l.adopt(l.standby)
				}
				before := l.made(way.calls)
				require.NoError(t, way.do(l))
				for n, made := range l.made(way.calls) {
					require.Equal(t, before[n]+1, made, way.calls[n])
				}
			})
		})
	}
}
