package fleet

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
)

// classOfGroup is the class of each group of testdata/ec2_errors.txt, by its heading.
var classOfGroup = map[string]fault.Code{
	"capacity":                    replica.NoCapacity,
	"quota":                       replica.QuotaUsedUp,
	"quota of a type":             replica.TypeQuotaUsedUp,
	"quota of parts":              replica.PartsQuotaUsedUp,
	"addresses":                   replica.NoAddresses,
	"pause":                       replica.Throttled,
	"not yet":                     replica.NotRunning,
	"away":                        Unavailable,
	"permission":                  replica.Refused,
	"configuration":               replica.Misconfigured,
	"form":                        replica.Misconfigured,
	"signature":                   replica.Refused,
	"token of a dead instance":    replica.TokenDead,
	"token with other parameters": replica.TokenReused,
	"unknown":                     replica.Unexplained,
	"other actions":               "", // any that asks elsewhere
}

// launchClass is the fault that a launch ends with when EC2 refuses it with a code.
func launchClass(code string, status int) fault.Code {
	return fault.CodeOf(classifyLaunch(context.Background(), refusal(code, status), "launching"))
}

func refusal(code string, status int) error {
	return &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}},
		Err:      &smithy.GenericAPIError{Code: code, Message: "In EC2's words."},
	}
}

// TestClassOf demands the class of each error code that EC2 documents, and of those that were
// seen besides. A code that moves to another class changes what a workflow does at a
// client's expense, so it must fail here first.
func TestClassOf(t *testing.T) {
	t.Parallel()

	raw, err := os.ReadFile("testdata/ec2_errors.txt")
	require.NoError(t, err)
	tested, group := map[string]bool{}, ""
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSpace(line)
		if heading, ok := strings.CutPrefix(line, "["); ok {
			group, _, _ = strings.Cut(strings.TrimSuffix(heading, "]"), ":")
			require.Contains(t, classOfGroup, group)
			continue
		}
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		require.False(t, tested[line], "%s is listed twice", line)
		tested[line] = true
		got := launchClass(line, http.StatusBadRequest)
		require.NotEmpty(t, sentences[got], "%s has a sentence", got)
		if group == "other actions" {
			require.False(t, got.Kind().Retryable(), "%s is asked again in the same place", line)
			continue
		}
		require.Equal(t, classOfGroup[group], got, line)
	}
	for code := range classes {
		require.True(t, tested[code], "%s is classified and not in testdata/ec2_errors.txt", code)
	}
	require.Greater(t, len(tested), 440)
}

// TestAnUnknownCode ends the candidate when EC2 refuses with it. From a server that fails, or in
// answer to a question, it is asked again. The client reads EC2's own words.
func TestAnUnknownCode(t *testing.T) {
	t.Parallel()

	require.Equal(t, replica.Unexplained, launchClass("SomethingNew", http.StatusBadRequest))
	require.Equal(t, Unavailable, launchClass("SomethingNew", http.StatusInternalServerError))
	require.Equal(t, Unavailable, launchClass("Server.SomethingNew", http.StatusBadRequest))
	asked := classify(t.Context(), refusal("SomethingNew", http.StatusBadRequest), "describing")
	require.True(t, fault.KindOf(asked).Retryable())
	launched := classifyLaunch(t.Context(), refusal("SomethingNew", http.StatusBadRequest), "launching")
	f, ok := errors.AsType[*fault.Error](launched)
	require.True(t, ok)
	require.Equal(t, "EC2 refused for a reason we do not know (SomethingNew): In EC2's words.",
		f.Details[replica.DetailWhy])
}

// TestRevise: each part that EC2 can refuse by a code of its own is left out of the next request
// for the same place, once, and named. The next request has another token, and without the part
// the same refusal ends the place.
func TestRevise(t *testing.T) {
	t.Parallel()

	tags := map[string]string{"team": "blue", TagManagedBy: ManagedBy, TagAgent: "a"}
	for name, c := range map[string]struct {
		codes []string
		with  LaunchRequest
		left  LaunchRequest
		words string
	}{
		"a key pair": {
			codes: []string{"InvalidKeyPair.NotFound", "Client.InvalidKeyPair.NotFound"},
			with:  LaunchRequest{KeyName: "ops"},
			words: "without the key pair ops",
		},
		"a placement group": {
			codes: []string{"InvalidPlacementGroup.Unknown", "InvalidParameterCombination", "InsufficientInstanceCapacity"},
			with:  LaunchRequest{Description: Description{PlacementGroup: "rack", Partition: 2}},
			words: "outside the placement group rack",
		},
		"tags": {
			codes: []string{"TagPolicyViolation", "TagLimitExceeded", "InvalidTagKey.Malformed"},
			with:  LaunchRequest{Tags: tags},
			left:  LaunchRequest{Tags: map[string]string{TagManagedBy: ManagedBy, TagAgent: "a"}},
			words: "without the tags of the original",
		},
		"a reservation": {
			codes: []string{"ReservationCapacityExceeded", "InvalidCapacityReservationId.NotFound",
				"InvalidCapacityReservationState.PendingActivation"},
			with:  LaunchRequest{Description: Description{Reservation: "open"}},
			words: "outside the capacity reservations",
		},
		"credits": {
			codes: []string{"InstanceCreditSpecification.NotSupported", "InvalidCpuCredits.Malformed"},
			with:  LaunchRequest{Description: Description{Credits: "unlimited"}},
			words: "own credit mode, not unlimited",
		},
		"hibernation": {
			codes: []string{"UnsupportedHibernationConfiguration"},
			with:  LaunchRequest{Description: Description{Hibernation: true}},
			words: "cannot hibernate",
		},
		"a dedicated host": {
			codes: []string{"IncompatibleHostRequirements", "InsufficientHostCapacity", "InvalidHostID.NotFound"},
			with:  LaunchRequest{Description: Description{Tenancy: "host"}},
			words: "no dedicated host",
		},
	} {
		for _, code := range c.codes {
			t.Run(name+" "+code, func(t *testing.T) {
				t.Parallel()

				first := c.with
				first.ClientToken = "first"
				cause := classifyLaunch(t.Context(), refusal(code, http.StatusBadRequest), "launching")
				next, ok := first.Revise(cause)
				require.True(t, ok)
				require.NotEqual(t, "first", next.ClientToken)
				require.Len(t, next.Without, 1)
				require.Contains(t, next.Without[0], c.words)
				want := c.left
				want.ClientToken, want.Without = next.ClientToken, next.Without
				require.Equal(t, want, next)
				_, ok = next.Revise(cause)
				require.False(t, ok, "the part is gone")
				require.Equal(t, "first", first.ClientToken)
				other := classifyLaunch(t.Context(), refusal("InvalidAMIID.NotFound", http.StatusBadRequest), "launching")
				_, ok = first.Revise(other)
				require.False(t, ok, "another refusal")
			})
		}
	}
	require.Len(t, tags, 3, "the request that was refused keeps its tags")
}

// TestReactions holds the classes to what a workflow does about them.
func TestReactions(t *testing.T) {
	t.Parallel()

	for _, code := range []fault.Code{replica.NoCapacity, replica.QuotaUsedUp, replica.TypeQuotaUsedUp,
		replica.PartsQuotaUsedUp, replica.NoAddresses, replica.Unexplained} {
		require.Equal(t, fault.Exhausted, code.Kind(), "%s: ask elsewhere", code)
	}
	for _, code := range []fault.Code{replica.Throttled, replica.NotRunning, Unavailable, Unknown} {
		require.True(t, code.Kind().Retryable(), "%s: ask again", code)
	}
	for _, code := range []fault.Code{replica.Refused, replica.Misconfigured, replica.TokenDead, replica.TokenReused,
		replica.InstanceGone} {
		require.False(t, code.Kind().Retryable(), "%s: asking again changes nothing", code)
	}
}
