package app

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/ec2sim"
	"spotkeeper/internal/ec2sim/client"
)

// questions are the actions with which EC2 is asked about instances and what belongs to them.
var questions = []string{"DescribeInstances", "DescribeInstanceStatus", "DescribeSubnets", "DescribeInstanceAttribute",
	"DescribeImages", "DescribeVolumes", "DescribeInstanceTypes", "DescribeInstanceCreditSpecifications",
	"DescribeSpotInstanceRequests", "DescribeLaunchTemplateVersions", "DescribeAvailabilityZones", "DescribeSpotPriceHistory"}

// TestQuestionsThatAreRefused (K1): in an emergency the answer to the launch is enough. Whatever EC2
// says to questions, the instance that was launched takes over just before the deadline.
func TestQuestionsThatAreRefused(t *testing.T) {
	t.Parallel()

	for name, refusal := range map[string]client.Fault{
		"no permission":           {Code: "UnauthorizedOperation", Status: http.StatusForbidden},
		"access denied":           {Code: "AccessDenied", Status: http.StatusForbidden},
		"the account":             {Code: "OptInRequired", Status: http.StatusUnauthorized},
		"credentials":             {Code: "AuthFailure", Status: http.StatusUnauthorized},
		"the form":                {Code: "InvalidInstanceID.Malformed", Status: http.StatusBadRequest},
		"a parameter":             {Code: "UnknownParameter", Status: http.StatusBadRequest},
		"a code that is unknown":  {Code: "SomethingNew", Status: http.StatusBadRequest},
		"throttled by other name": {Code: "ThrottlingException", Status: http.StatusBadRequest},
		"an expired request":      {Code: "RequestExpired", Status: http.StatusBadRequest},
		"a gateway":               {Code: "BadGateway", Status: http.StatusBadGateway},
		"no answer":               {Mode: client.FaultLost},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			f := newField(t, ec2sim.Options{Delays: client.AWSDelays()})
			m := f.join("web", f.machine())
			for _, action := range questions {
				refusal.Action = action
				f.fault(refusal)
			}
			out := m.lose()
			require.NotEmpty(t, out.Successor, out.Steps)
			require.Equal(t, []string{firstPool}, out.Launches)
			require.Equal(t, 1, out.Replicas)
			require.Less(t, out.Took, 115*time.Second)
		})
	}
}

// TestSessionsThatFailForAMoment (K13): one refusal of STS in the emergency does not end it.
func TestSessionsThatFailForAMoment(t *testing.T) {
	t.Parallel()

	for _, code := range []string{"Throttling", "InternalFailure", "ServiceUnavailable", "RequestExpired", "ExpiredToken",
		"PackedPolicyTooLarge", "MalformedPolicyDocument", "ValidationError", "SomethingNew",
		"AccessDenied", "RegionDisabledException", "InvalidClientTokenId", "SignatureDoesNotMatch"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()

			f := newField(t, ec2sim.Options{Delays: client.AWSDelays()})
			m := f.join("web", f.machine())
			require.NoError(t, f.sim.RevokeSessions(t.Context(), client.Revocation{Account: fieldAccount, Code: "ExpiredToken"}))
			f.fault(client.Fault{Action: "AssumeRole", Code: code, Status: http.StatusBadRequest, Times: 1})
			out := m.lose()
			require.NotEmpty(t, out.Successor, out.Steps)
			require.Equal(t, 1, out.Replicas, out.Steps)
			require.Less(t, out.Took, 40*time.Second)
		})
	}
}
