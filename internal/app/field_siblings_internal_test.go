package app

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/ec2sim"
	"spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/postgres"
)

// Pools of the customer's type, in the order in which they are tried.
const (
	firstPool  = "spot/m5.large.us-east-1b"
	secondPool = "spot/m5.large.us-east-1c"
	firstList  = "ondemand/m5.large.us-east-1b"
)

// trouble is what goes wrong at EC2, and where the successor is all the same.
type trouble struct {
	faults    []client.Fault
	cause     func(t *testing.T, sim *client.Client) error
	successor string
}

// play has an agent meet the trouble in an emergency.
func (c trouble) play(t *testing.T, change ...func(*ec2.RunInstancesInput)) (*member, failover) {
	t.Helper()
	f := newField(t, ec2sim.Options{})
	m := f.join("web", f.machine(change...))
	require.NoError(t, f.sim.SetDelays(t.Context(), client.AWSDelays()))
	c.begin(t, f)
	out := m.lose()
	return m, out
}

func (c trouble) begin(t *testing.T, f *field) {
	t.Helper()
	for _, fault := range c.faults {
		f.fault(fault)
	}
	if c.cause != nil {
		require.NoError(t, c.cause(t, f.sim))
	}
}

// inFirst is a refusal of the zone that is tried first.
func inFirst(code string, status int) trouble {
	return trouble{successor: secondPool, faults: []client.Fault{{
		Action:  "RunInstances",
		Pool:    "*.us-east-1b",
		Code:    code,
		Status:  status,
		Message: "This is refused.",
	}}}
}

// deadInFirst is an instance that ends in the zone that is tried first.
func deadInFirst(reason string) trouble {
	return trouble{successor: secondPool, faults: []client.Fault{{
		Pool: "*.us-east-1b",
		Mode: client.FaultStillborn,
		Code: reason,
	}}}
}

// troubles are kinds of refusals (K2, K3, K13) of which EC2 has many instances.
func troubles() map[string]trouble {
	zero := 0
	throttled := func(times int) []client.Fault {
		return []client.Fault{{Action: "RunInstances", Code: "RequestLimitExceeded", Status: 503, Times: times}}
	}
	expired := func(times int) []client.Fault {
		return []client.Fault{{Action: "RunInstances", Code: "ExpiredToken", Status: 400, Times: times}}
	}
	return map[string]trouble{
		"AccessDenied":                  inFirst("AccessDenied", 403),
		"terms of the image":            inFirst("OptInRequired", 401),
		"the account is blocked":        inFirst("Blocked", 403),
		"the account is being verified": inFirst("PendingVerification", 403),
		"volume type, code of one API":  inFirst("VolumeTypeNotAvailableInAZ", 400),
		"volume type, code of another":  inFirst("VolumeTypeNotAvailableInZone", 400),
		"tenancy":                       inFirst("Unsupported", 400),
		"operation":                     inFirst("UnsupportedOperation", 400),
		"a value":                       inFirst("InvalidParameterValue", 400),
		"a host":                        inFirst("InvalidHostID.NotFound", 400),
		"no capacity on the host":       inFirst("InsufficientCapacityOnHost", 400),
		"a reservation":                 inFirst("ReservationCapacityExceeded", 400),
		"the only subnet is full":       inFirst("InsufficientFreeAddressesInSubnet", 400),
		"dead for a reason of EC2":      deadInFirst("Server.SomethingNew"),
		"dead for a reason of ours":     deadInFirst("Client.SomethingNew"),
		"dead, Client.InternalError":    deadInFirst("Client.InternalError"),
		"dead for a reason of no class": deadInFirst("Strange"),
		"ended by a person":             deadInFirst("Client.UserInitiatedShutdown"),
		"ended by itself":               deadInFirst("Client.InstanceInitiatedShutdown"),
		"put to sleep by a person":      deadInFirst("Client.UserInitiatedHibernate"),
		"stopped on schedule":           deadInFirst("Server.ScheduledStop"),
		"dead, interrupted at once":     deadInFirst("Server.SpotInstanceTermination"),
		"dead, stopped for spot":        deadInFirst("Server.SpotInstanceShutdown"),
		"dead without a reason":         deadInFirst(""),
		"dead for addresses":            deadInFirst("Server.InsufficientFreeAddressesInSubnet"),
		"dead for a time-out":           deadInFirst("Client.GatewayTimeout"),
		"a security group":              inFirst("InvalidGroup.NotFound", 400),
		"a subnet that conflicts":       inFirst("InvalidSubnet.Conflict", 400),
		"an interface":                  inFirst("InvalidNetworkInterfaceID.NotFound", 400),
		"a block device":                inFirst("InvalidBlockDeviceMapping", 400),
		"a state":                       inFirst("IncorrectState", 400),
		"an image that is not ready":    inFirst("InvalidAMIID.Unavailable", 400),
		"a means of payment":            inFirst("InvalidPaymentInstrument", 400),
		"a licence":                     inFirst("LicenseConfigurationLimit", 400),
		"the clock":                     inFirst("RequestTimeTooSkewed", 403),
		"no code at all":                inFirst("", 400),
		"a quota of the type in spot": {successor: firstList, faults: []client.Fault{{
			Action: "RunInstances",
			Market: client.Spot,
			Code:   "InstanceLimitExceeded",
		}}},
		"a quota of the type in both": {successor: "ondemand/m5.xlarge.us-east-1b", faults: []client.Fault{{
			Action: "RunInstances",
			Pool:   "m5.large.*",
			Code:   "InstanceLimitExceeded",
		}}},
		"throttled for half a minute":    {faults: throttled(12), successor: firstPool},
		"throttled for almost a minute":  {faults: throttled(25), successor: firstPool},
		"the session ends at the launch": {faults: expired(1), successor: firstPool},
		"every session is revoked": {successor: firstPool, cause: func(t *testing.T, sim *client.Client) error {
			return sim.RevokeSessions(t.Context(), client.Revocation{Account: fieldAccount, Code: "ExpiredToken"})
		}},
		"launched, and InternalError": {successor: firstPool, faults: []client.Fault{{
			Action: "RunInstances",
			Mode:   client.FaultAfter,
			Code:   "InternalError",
			Times:  3,
		}}},
		"no spot quota": {successor: firstList, cause: func(t *testing.T, sim *client.Client) error {
			return sim.SetQuota(t.Context(), client.Quota{Account: fieldAccount, SpotVCPUs: &zero})
		}},
		"no on-demand quota": {successor: firstPool, cause: func(t *testing.T, sim *client.Client) error {
			return sim.SetQuota(t.Context(), client.Quota{Account: fieldAccount, VCPUs: &zero})
		}},
		"a policy on the zone": {successor: secondPool, cause: func(t *testing.T, sim *client.Client) error {
			return sim.DenyByPolicy(t.Context(), client.Policy{Account: fieldAccount, Zone: "us-east-1b"})
		}},
		"a policy on spot": {successor: firstList, cause: func(t *testing.T, sim *client.Client) error {
			return sim.DenyByPolicy(t.Context(), client.Policy{Account: fieldAccount, Market: client.Spot})
		}},
		"a policy on on-demand": {successor: firstPool, cause: func(t *testing.T, sim *client.Client) error {
			return sim.DenyByPolicy(t.Context(), client.Policy{Account: fieldAccount, Market: client.OnDemand})
		}},
		"a policy on the type": {successor: "ondemand/m5.xlarge.us-east-1b", cause: func(t *testing.T, sim *client.Client) error {
			return sim.DenyByPolicy(t.Context(), client.Policy{Account: fieldAccount, InstanceType: "m5.large"})
		}},
		"a policy on reads": {successor: firstPool, cause: func(t *testing.T, sim *client.Client) error {
			return sim.DenyByPolicy(t.Context(), client.Policy{Account: fieldAccount, Action: "DescribeSubnets"})
		}},
		"no service-linked role": {successor: firstList, cause: func(t *testing.T, sim *client.Client) error {
			return sim.SetSpotRole(t.Context(), client.SpotRole{Account: fieldAccount, Missing: true})
		}},
		"a service-linked role that the launch makes": {successor: firstPool, cause: func(t *testing.T, sim *client.Client) error {
			return sim.SetSpotRole(t.Context(), client.SpotRole{Account: fieldAccount, Missing: true, Creatable: true})
		}},
		"a zone that the account has no more": {successor: secondPool, cause: func(t *testing.T, sim *client.Client) error {
			return sim.ChangePlace(t.Context(), client.Place{Account: fieldAccount, Name: "us-east-1b"})
		}},
	}
}

// TestSiblingsOfRefusals: whatever EC2 says about one candidate, the same replica has a successor in
// the next one that works, in time, and it is the only instance that is left.
func TestSiblingsOfRefusals(t *testing.T) {
	t.Parallel()

	for name, c := range troubles() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			m, out := c.play(t)
			t.Logf("%s: a successor after %s, asked for %v", name, out.Took.Round(time.Second), out.Launches)
			require.NotEmpty(t, out.Successor, out.Steps)
			require.Equal(t, c.successor, out.Launches[len(out.Launches)-1], out.Steps)
			require.Equal(t, 1, out.Replicas, out.Steps)
			require.Less(t, out.Took, 100*time.Second)
			require.NotContains(t, out.Steps, "Encoded authorization")
			live, err := m.sim.Live(t.Context(), fieldAccount)
			require.NoError(t, err)
			require.Len(t, live, 2, "the primary and its successor")
		})
	}
}

// keep has the agent get the standby of manual mode.
func (m *member) keep() (out failover) {
	m.t.Helper()
	store := &postgres.Roles{DB: m.DB}
	_, err := m.DB.Pool.Exec(m.t.Context(), `UPDATE agents SET keeping = 'manual' WHERE id = $1`, m.id)
	require.NoError(m.t, err)
	opened, err := store.OpenReplica(m.t.Context(), roles.ReplicaRequest{
		AgentID:   m.id,
		Kind:      replica.Manual,
		For:       m.at,
		CreatedBy: "system",
		Reason:    "manual mode",
		Plan:      replica.Plan{Mode: "spot", InstanceType: fieldType},
	})
	require.NoError(m.t, err)
	out.Replicas++
	m.runReplica(opened.Replica.ID, &out)
	m.reportNotice(&out)
	return out
}

// TestSiblingsInCalm: a refusal about one zone or type does not keep an agent without its
// standby. A refusal about the market is the client's to mend, before on-demand is paid for.
func TestSiblingsInCalm(t *testing.T) {
	t.Parallel()

	all := troubles()
	for name, launches := range map[string][]string{
		"AccessDenied":                        {firstPool, secondPool},
		"a value":                             {firstPool, secondPool},
		"a policy on the zone":                {firstPool, secondPool},
		"a zone that the account has no more": {firstPool, secondPool},
		"dead, Client.InternalError":          {firstPool, secondPool},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			f := newField(t, ec2sim.Options{})
			m := f.join("web", f.machine())
			require.NoError(t, f.sim.SetDelays(t.Context(), client.AWSDelays()))
			all[name].begin(t, f)
			out := m.keep()
			require.Equal(t, launches, out.Launches, out.Steps)
			require.NotEmpty(t, out.Successor, out.Steps)
		})
	}
	t.Run("a policy on a family", func(t *testing.T) {
		t.Parallel()

		keep := func(denied string) failover {
			f := newField(t, ec2sim.Options{})
			m := f.join("web", f.machine())
			f.collect()
			if denied != "" {
				policy := client.Policy{Account: fieldAccount, InstanceType: denied + ".*"}
				require.NoError(t, f.sim.DenyByPolicy(t.Context(), policy))
			}
			return m.keep()
		}
		family, _, _ := strings.Cut(strings.TrimPrefix(keep("").Launches[0], "spot/"), ".")
		out := keep(family)
		require.Contains(t, out.Launches[0], "spot/"+family+".", "the best one, which the market of the hour decides")
		require.NotEmpty(t, out.Successor, out.Steps)
		require.NotContains(t, out.SuccessorPool, family+".")
		require.Contains(t, out.Launches[len(out.Launches)-1], "spot/")
	})
	t.Run("no service-linked role", func(t *testing.T) {
		t.Parallel()

		f := newField(t, ec2sim.Options{})
		m := f.join("web", f.machine())
		all["no service-linked role"].begin(t, f)
		out := m.keep()
		require.Empty(t, out.Successor)
		require.Equal(t, []string{firstPool, secondPool}, out.Launches[:2])
		require.Contains(t, strings.Join(out.Notified, "\n"), "create-service-linked-role")
	})
}

// TestWhatBelongsToOnePlace of an original is left out where it cannot be had: a dedicated
// host, a capacity reservation, hibernation.
func TestWhatBelongsToOnePlace(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		change func(*ec2.RunInstancesInput)
		told   string
	}{
		"a dedicated host": {func(in *ec2.RunInstancesInput) {
			in.Placement.Tenancy, in.Placement.HostId = types.TenancyHost, aws.String("h-0123456789abcdef0")
		}, "dedicated host"},
		"a capacity reservation": {func(in *ec2.RunInstancesInput) {
			in.CapacityReservationSpecification = &types.CapacityReservationSpecification{
				CapacityReservationTarget: &types.CapacityReservationTarget{
					CapacityReservationId: aws.String("cr-0123456789abcdef0")}}
		}, "targeted capacity reservation"},
		"a preference for reservations": {func(in *ec2.RunInstancesInput) {
			in.CapacityReservationSpecification = &types.CapacityReservationSpecification{
				CapacityReservationPreference: types.CapacityReservationPreferenceOpen}
		}, ""},
		"hibernation": {func(in *ec2.RunInstancesInput) {
			in.HibernationOptions = &types.HibernationOptionsRequest{Configured: aws.Bool(true)}
		}, "cannot hibernate"},
		"protection against a stop": {func(in *ec2.RunInstancesInput) { in.DisableApiStop = aws.Bool(true) },
			"not protected against a stop"},
		"dedicated instances": {func(in *ec2.RunInstancesInput) { in.Placement.Tenancy = types.TenancyDedicated }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			m, out := trouble{}.play(t, func(in *ec2.RunInstancesInput) { in.InstanceMarketOptions = nil }, c.change)
			require.Equal(t, []string{firstPool}, out.Launches, out.Steps)
			told := m.list(`SELECT message FROM notifications`)
			require.Contains(t, strings.Join(append(told, out.Steps), "\n"), c.told)
		})
	}
}

// TestAWrongStateForAMinute: EC2 shows an instance in a state that it is not in. An agent
// that sends heartbeats keeps its primary whatever EC2 says. A silent agent keeps it too
// until EC2 shows the instance as ended.
func TestAWrongStateForAMinute(t *testing.T) {
	t.Parallel()

	for _, state := range []string{"pending", "stopping", "stopped"} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()

			f := newField(t, ec2sim.Options{})
			m := f.join("web", f.machine())
			require.NoError(t, f.sim.Show(t.Context(), client.Shown{InstanceID: m.at, State: state, ForSeconds: 60}))
			require.Zero(t, m.watchSilent())
		})
	}
	t.Run("of the successor", func(t *testing.T) {
		t.Parallel()

		_, out := trouble{cause: func(t *testing.T, sim *client.Client) error {
			late := client.AWSDelays()
			late.Lag, late.Visibility = 45, 30
			return sim.SetDelays(t.Context(), late)
		}}.play(t)
		require.Equal(t, []string{firstPool}, out.Launches, out.Steps)
		require.Less(t, out.Took, 100*time.Second)
	})
}
