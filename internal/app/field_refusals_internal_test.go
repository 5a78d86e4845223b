package app

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/ec2sim"
	"spotkeeper/internal/ec2sim/client"
)

// encoded is the kind of message with which AWS refuses for want of a permission.
const encoded = "You are not authorized to perform this operation. Encoded authorization failure message: 4GRoYVDUnVSyIVcDnhOr7bQzQ-uFnJqzXN"

// TestARefusalAboutOneCandidateEndsThatCandidate (K3, K2, K1): the first zone, or the
// spot market as a whole, refuses in some way; the agent has a successor from the same
// replica all the same, long before its instance goes.
func TestARefusalAboutOneCandidateEndsThatCandidate(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		faults []client.Fault
		mode   string // of the successor, when it has to be another one
	}{
		"a policy forbids the zone's spot": {faults: []client.Fault{{
			Action:  "RunInstances",
			Pool:    "*.us-east-1b",
			Code:    "UnauthorizedOperation",
			Message: encoded,
		}}},
		"a policy forbids spot": {
			faults: []client.Fault{{
				Action:  "RunInstances",
				Market:  "spot",
				Code:    "UnauthorizedOperation",
				Message: encoded,
			}},
			mode: "ondemand",
		},
		"the service-linked role of spot": {
			faults: []client.Fault{{
				Action:  "RunInstances",
				Market:  "spot",
				Code:    "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
				Message: encoded,
			}},
			mode: "ondemand",
		},
		"a combination of parameters": {faults: []client.Fault{{
			Action: "RunInstances",
			Pool:   "*.us-east-1b",
			Code:   "InvalidParameterCombination",
		}}},
		"a deleted subnet": {faults: []client.Fault{{
			Action: "RunInstances",
			Pool:   "*.us-east-1b",
			Code:   "InvalidSubnetID.NotFound",
		}}},
		"one sick zone, 500": {faults: []client.Fault{{
			Action: "RunInstances",
			Pool:   "*.us-east-1b",
			Code:   "InternalError",
			Status: 500,
		}}},
		"one sick zone, 503": {faults: []client.Fault{{
			Action: "RunInstances",
			Pool:   "*.us-east-1b",
			Code:   "ServiceUnavailable",
			Status: 503,
		}}},
		"a code that is not known": {faults: []client.Fault{{
			Action: "RunInstances",
			Pool:   "*.us-east-1b",
			Code:   "SomethingNew",
			Status: 400,
		}}},
		"born dead in one pool": {faults: []client.Fault{{
			Pool: "*.us-east-1b",
			Mode: client.FaultStillborn,
			Code: "Server.InsufficientInstanceCapacity",
		}}},
		"born dead in every spot pool": {
			faults: []client.Fault{{Market: "spot", Mode: client.FaultStillborn, Code: "Server.InternalError"}},
			mode:   "ondemand",
		},
		"reads are throttled to nothing": {faults: []client.Fault{
			{
				Action: "DescribeInstances",
				Code:   "RequestLimitExceeded",
				Status: 503,
			}, {Action: "DescribeInstanceStatus", Code: "RequestLimitExceeded", Status: 503},
			{
				Action: "DescribeSubnets",
				Code:   "RequestLimitExceeded",
				Status: 503,
			}, {Action: "DescribeInstanceAttribute", Code: "RequestLimitExceeded", Status: 503}}},
		"every zone's spot is empty": {
			faults: []client.Fault{{Action: "RunInstances", Market: "spot", Code: "InsufficientInstanceCapacity"}},
			mode:   "ondemand",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			f := newField(t, ec2sim.Options{Delays: client.AWSDelays()})
			m := f.join("web", f.machine())
			for _, fault := range c.faults {
				f.fault(fault)
			}
			out := m.lose()
			t.Logf("%s: a successor in %s after %s, asked for %v", name, out.SuccessorPool, out.Took.Round(time.Second),
				out.Launches)
			require.NotEmpty(t, out.Successor, "%s", out.Steps)
			require.Equal(t, 1, out.Replicas)
			require.Less(t, out.Took, 115*time.Second)
			if c.mode != "" {
				require.Equal(t, c.mode+"/"+out.SuccessorPool, out.Launches[len(out.Launches)-1])
			}
			require.Equal(t, fieldType, out.SuccessorPool[:len(fieldType)], "the wanted type, before larger ones")
			for _, text := range append(out.Notified, out.Steps) {
				require.NotContains(t, text, "Encoded authorization")
				require.NotContains(t, text, "activity error")
				require.NotContains(t, text, "ScheduleToClose")
				require.NotContains(t, text, "StartToClose")
			}
		})
	}
}

// TestWhatEveryPoolRefusesIsNotifiedOnce, in words and with the repair.
func TestWhatEveryPoolRefusesIsNotifiedOnce(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		fault client.Fault
		words []string
	}{
		"permission": {client.Fault{
			Action:  "RunInstances",
			Code:    "UnauthorizedOperation",
			Message: encoded,
		}, []string{"web", "ec2:RunInstances", "permission"}},
		"key of a volume": {client.Fault{Mode: client.FaultStillborn, Code: "Client.InvalidKMSKey.InvalidState"},
			[]string{"web", "KMS key"}},
		"image": {client.Fault{Action: "RunInstances", Code: "InvalidAMIID.NotFound"}, []string{"web", "image"}},
		"a region that is not enabled": {client.Fault{Action: "RunInstances", Code: "OptInRequired", Status: 401},
			[]string{"web", "enable the region"}},
		"a region whose STS is not enabled": {client.Fault{Action: "RunInstances", Code: "RegionDisabledException", Status: 403},
			[]string{"web", "has not enabled the region"}},
		"a region that is closed": {client.Fault{Action: "RunInstances", Code: "AuthFailure", Status: 401},
			[]string{"web", "trust policy", "has enabled the region"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			f := newField(t, ec2sim.Options{Delays: client.AWSDelays()})
			m := f.join("web", f.machine())
			f.fault(c.fault)
			out := m.lose()
			t.Logf("%s: %d replicas, notified %q", name, out.Replicas, out.Notified)
			require.Empty(t, out.Successor)
			require.Len(t, out.Notified, 1)
			require.LessOrEqual(t, out.Replicas, 4, "slowed down")
			for _, w := range c.words {
				require.Contains(t, out.Notified[0], w)
			}
			require.NotContains(t, out.Notified[0], m.id)
			require.NotContains(t, out.Steps, "Encoded")
		})
	}
}

// TestAnUnknownRefusalCostsNoTime (K3): a code that no list has is answered with the next candidate at
// once. Where all of spot is refused with it, on-demand has the successor in half a minute, and
// where everything is, the client reads EC2's own words once.
func TestAnUnknownRefusalCostsNoTime(t *testing.T) {
	t.Parallel()

	refused := client.Fault{Action: "RunInstances", Code: "SomethingNew", Status: 400, Message: "The moon is full."}
	t.Run("spot", func(t *testing.T) {
		t.Parallel()

		f := newField(t, ec2sim.Options{Delays: client.AWSDelays()})
		m := f.join("web", f.machine())
		spot := refused
		spot.Market = "spot"
		f.fault(spot)
		out := m.lose()
		require.NotEmpty(t, out.Successor, out.Steps)
		require.Equal(t, firstList, out.Launches[len(out.Launches)-1], out.Steps)
		require.Less(t, out.Took, 35*time.Second)
	})
	t.Run("everything", func(t *testing.T) {
		t.Parallel()

		f := newField(t, ec2sim.Options{Delays: client.AWSDelays()})
		m := f.join("web", f.machine())
		f.fault(refused)
		out := m.lose()
		require.Empty(t, out.Successor)
		require.Len(t, out.Notified, 1)
		require.Contains(t, out.Notified[0], "SomethingNew")
		require.Contains(t, out.Notified[0], "The moon is full.")
	})
}

// TestPartsThatEC2Refuses: an instance without a part that EC2 refuses takes over from the place in
// which it was refused, and the operation says what it lacks.
func TestPartsThatEC2Refuses(t *testing.T) {
	t.Parallel()

	inGroup := func(in *ec2.RunInstancesInput) {
		in.Placement.GroupName, in.Placement.PartitionNumber = aws.String("rack"), aws.Int32(2)
	}
	for name, c := range map[string]struct {
		change func(*ec2.RunInstancesInput)
		code   string
		lacks  string
	}{
		"a tag policy": {func(in *ec2.RunInstancesInput) {
			in.TagSpecifications = []types.TagSpecification{{ResourceType: types.ResourceTypeInstance,
				Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("blue")}}}}
		}, "TagPolicyViolation", "without the tags of the original"},
		"a group that was deleted": {inGroup, "InvalidPlacementGroup.Unknown", "outside the placement group rack"},
		"a group that is full":     {inGroup, "InsufficientInstanceCapacity", "outside the placement group rack"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			f := newField(t, ec2sim.Options{Delays: client.AWSDelays()})
			m := f.join("web", f.machine(c.change))
			f.fault(client.Fault{Action: "RunInstances", Code: c.code, Status: 400, Times: 1})
			out := m.lose()
			require.Equal(t, []string{firstPool, firstPool}, out.Launches, out.Steps)
			require.NotEmpty(t, out.Successor)
			require.Contains(t, out.Steps, c.lacks)
			successor := f.describe(out.Successor)
			require.Empty(t, aws.ToString(successor.Placement.GroupName))
			for _, tag := range successor.Tags {
				require.NotEqual(t, "team", aws.ToString(tag.Key))
			}
		})
	}
}

// TestADeletedKeyPair costs nothing but the key pair: the instance is launched without it,
// in the same place, and its page says so.
func TestADeletedKeyPair(t *testing.T) {
	t.Parallel()

	f := newField(t, ec2sim.Options{Delays: client.AWSDelays()})
	m := f.join("web", f.machine(func(in *ec2.RunInstancesInput) { in.KeyName = aws.String("ops") }))
	f.fault(client.Fault{Action: "RunInstances", Code: "InvalidKeyPair.NotFound", Times: 1})
	out := m.lose()
	require.Equal(t, "m5.large.us-east-1b", out.SuccessorPool)
	require.Equal(t, []string{"spot/m5.large.us-east-1b", "spot/m5.large.us-east-1b"}, out.Launches)
	require.Contains(t, out.Steps, "launched without the key pair ops, which does not exist any more")
}

// TestAFailedStepSaysItsReasonOnce: what a page shows of a launch that failed is one
// sentence once in each step, in the error and in the notification, without the words of
// the programs that it went through.
func TestAFailedStepSaysItsReasonOnce(t *testing.T) {
	t.Parallel()

	const sentence, raw = "EC2 does not accept the parameters (InvalidAMIID.NotFound)", "The image id '[ami-1]' does not exist"
	f := newField(t, ec2sim.Options{Delays: client.AWSDelays()})
	m := f.join("web", f.machine())
	f.fault(client.Fault{Action: "RunInstances", Code: "InvalidAMIID.NotFound", Message: raw})
	m.lose()
	notified := f.list(`
		SELECT s.detail
		FROM operation_steps s
		JOIN operations o ON o.id = s.operation_id
		WHERE o.agent_id = $1 AND s.status = 'failed'
		UNION ALL
		SELECT coalesce(error, '')
		FROM operations
		WHERE agent_id = $1 AND state = 'failed'
		UNION ALL
		SELECT message
		FROM notifications
		WHERE severity <> 'info'`, m.id)
	require.GreaterOrEqual(t, len(notified), 3, "%q", notified)
	for _, text := range notified {
		t.Log(text)
		require.Equal(t, 1, strings.Count(text, sentence), text)
		require.Less(t, len(text), 400, text)
		for _, word := range []string{"type:", "activity error", "EventID", "retryable", "api error", "operation error", "RequestID",
			"https response", "*", "0x", m.id} {
			require.NotContains(t, text, word)
		}
	}
}
