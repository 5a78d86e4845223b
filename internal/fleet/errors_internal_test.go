package fleet

import (
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
)

// TestClassOf names the reaction to each code that the facts about EC2 list, and
// to each family of codes. A code that moves to another class changes what a
// workflow does at a tenant's expense, so it must fail here first.
func TestClassOf(t *testing.T) {
	t.Parallel()

	byClass := map[fault.Code][]string{
		replica.NoCapacity: {
			"InsufficientInstanceCapacity", "InsufficientHostCapacity", "InsufficientReservedInstanceCapacity",
			"InsufficientCapacity",
			"InsufficientCapacityOnHost", "InsufficientVolumeCapacity", "ReservationCapacityExceeded",
			"SpotMaxPriceTooLow",
			"UnfulfillableCapacity", "Unsupported", "VolumeTypeNotAvailableInAZ", "VolumeTypeNotAvailableInZone",
			"capacity-not-available",
		},
		replica.QuotaUsedUp: {
			"AttachmentLimitExceeded", "InstanceLimitExceeded", "MaxIOPSLimitExceeded", "MaxSpotInstanceCountExceeded",
			"NetworkInterfaceLimitExceeded", "ResourceLimitExceeded", "VcpuLimitExceeded", "VolumeLimitExceeded",
		},
		replica.NoAddresses: {"InsufficientAddressCapacity", "InsufficientFreeAddressesInSubnet",
			"PrivateIpAddressLimitExceeded"},
		replica.Throttled: {
			"BandwidthLimitExceeded", "EC2ThrottledException", "PriorRequestNotComplete",
			"ProvisionedThroughputExceeded", "RequestLimitExceeded",
			"RequestThrottled", "RequestThrottledException", "SlowDown", "ThrottledException", "Throttling",
			"ThrottlingException",
			"TooManyRequestsException", "TransactionInProgressException", "Client.ThrottlingSomehow",
		},
		replica.Refused: {
			"AccessDenied", "AccessDeniedException", "AuthFailure",
			"AuthFailure.ServiceLinkedRoleCreationNotPermitted", "Blocked",
			"IncompleteSignature", "InvalidClientTokenId", "MissingAuthenticationToken", "OperationNotPermitted",
			"OptInRequired",
			"PendingVerification", "SignatureDoesNotMatch", "UnauthorizedOperation", "UnrecognizedClientException",
		},
		replica.TokenDead:   {"IdempotentInstanceTerminated"},
		replica.TokenReused: {"IdempotentParameterMismatch"},
		replica.NotRunning: {"IncorrectInstanceState", "IncorrectState", "InvalidInstanceID.NotFound",
			"InvalidSpotInstanceRequestID.NotFound"},
		replica.Misconfigured: {
			"DefaultVpcDoesNotExist", "EncryptedVolumesNotSupported", "NonEBSInstance",
			"SecurityGroupsPerInterfaceLimitExceeded",
			"TagLimitExceeded", "TagPolicyViolation", "VPCIdNotSpecified", "ValidationError", "ValidationException",
			// by prefix
			"InvalidAMIID.NotFound", "InvalidAMIID.Unavailable", "InvalidAMIID.Malformed", "InvalidSubnetID.NotFound",
			"InvalidGroup.NotFound",
			"InvalidKeyPair.NotFound", "InvalidParameterValue", "InvalidParameterCombination",
			"InvalidInstanceID.Malformed", "InvalidUserData.Malformed",
			"InvalidBlockDeviceMapping", "MalformedQueryString", "MissingParameter", "UnknownParameter",
			"UnsupportedOperation",
		},
		Unavailable: {
			"ExpiredToken", "ExpiredTokenException", "InternalError", "InternalFailure", "RequestExpired",
			"RequestTimeout",
			"ServerInternal", "ServiceUnavailable", "Unavailable",
		},
		Unknown: {"SomethingNobodyHasSeen"},
	}
	tested := map[string]bool{}
	for class, codes := range byClass {
		for _, code := range codes {
			require.Equal(t, class, classifyError(code, false), code)
			tested[code] = true
		}
		require.NotEmpty(t, sentences[class], "%s has a sentence", class)
	}
	for code := range classes {
		require.True(t, tested[code], "%s is classified and not in this table", code)
	}
	require.Equal(t, Unavailable, classifyError("SomethingNobodyHasSeen", true),
		"an unknown failure of the server may pass")
}

// TestReactions holds the classes to what a workflow does about them.
func TestReactions(t *testing.T) {
	t.Parallel()

	for _, code := range []fault.Code{replica.NoCapacity, replica.QuotaUsedUp, replica.NoAddresses} {
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
