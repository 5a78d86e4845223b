package fleet

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/smithy-go"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
)

// Ways to fail that are not the fault of a launch.
var (
	// Unavailable means that EC2 did not answer, not in time, or not sensibly.
	Unavailable = fault.Define("ec2.unavailable", fault.Unavailable)
	// Unknown means that EC2 refused with a code that is not classified: retried,
	// and a reason to look.
	Unknown = fault.Define("ec2.unknown_error", fault.Internal)
	// NoPrice means that the price list has no such instance type.
	NoPrice = fault.Define("ec2.no_price", fault.NotFound)
)

// classes gives each API error code the fault that says how to react. What is
// not here is looked up by prefix, and then by whose mistake it is. The codes are those of
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html and what EC2 was
// seen to answer besides; testdata/ec2_errors.txt lists all of them with their class.
var classes = map[string]fault.Code{
	// Capacity: the next pool. "Unsupported" is a type that the zone does not offer, and a
	// zone that the account may not use has nothing for it.
	"IncompatibleHostRequirements":          replica.NoCapacity,
	"InsufficientInstanceCapacity":          replica.NoCapacity,
	"InsufficientHostCapacity":              replica.NoCapacity,
	"InsufficientReservedInstanceCapacity":  replica.NoCapacity,
	"InsufficientReservedInstancesCapacity": replica.NoCapacity,
	"InvalidAvailabilityZone":               replica.NoCapacity,
	"InvalidZone.NotFound":                  replica.NoCapacity,
	"InsufficientCapacity":                  replica.NoCapacity,
	"InsufficientCapacityOnHost":            replica.NoCapacity,
	"InsufficientVolumeCapacity":            replica.NoCapacity,
	"ReservationCapacityExceeded":           replica.NoCapacity,
	"SpotMaxPriceTooLow":                    replica.NoCapacity,
	"UnavailableHostRequirements":           replica.NoCapacity,
	"UnfulfillableCapacity":                 replica.NoCapacity,
	"Unsupported":                           replica.NoCapacity,
	"VolumeTypeNotAvailableInAZ":            replica.NoCapacity,
	"VolumeTypeNotAvailableInZone":          replica.NoCapacity,
	"ZonesMismatched":                       replica.NoCapacity,
	"capacity-not-available":                replica.NoCapacity,

	// Quota: another family or on-demand; the pool is not to blame.
	"InstanceLimitExceeded":                replica.TypeQuotaUsedUp,
	"MaxConfigLimitExceededException":      replica.QuotaUsedUp, // of placement scores
	"MaxIOPSLimitExceeded":                 replica.PartsQuotaUsedUp,
	"MaxSpotInstanceCountExceeded":         replica.QuotaUsedUp,
	"NetworkInterfaceLimitExceeded":        replica.PartsQuotaUsedUp,
	"ResourceLimitExceeded":                replica.PartsQuotaUsedUp,
	"TargetCapacityLimitExceededException": replica.QuotaUsedUp, // likewise
	"VcpuLimitExceeded":                    replica.QuotaUsedUp,
	"VolumeLimitExceeded":                  replica.PartsQuotaUsedUp,

	// Network: another subnet.
	"InsufficientAddressCapacity":       replica.NoAddresses,
	"InsufficientFreeAddressesInSubnet": replica.NoAddresses,

	// Throttle: slow down, never fall back.
	"BandwidthLimitExceeded":         replica.Throttled,
	"ConcurrentTagAccess":            replica.Throttled,
	"EC2ThrottledException":          replica.Throttled,
	"PriorRequestNotComplete":        replica.Throttled,
	"ProvisionedThroughputExceeded":  replica.Throttled,
	"RequestLimitExceeded":           replica.Throttled,
	"RequestResourceCountExceeded":   replica.Throttled,
	"RequestThrottled":               replica.Throttled,
	"RequestThrottledException":      replica.Throttled,
	"SlowDown":                       replica.Throttled,
	"ThrottledException":             replica.Throttled,
	"Throttling":                     replica.Throttled,
	"ThrottlingException":            replica.Throttled,
	"TooManyRequestsException":       replica.Throttled,
	"TransactionInProgressException": replica.Throttled,

	// Permission: stop, and notify the tenant.
	"AccessDenied":                replica.Refused,
	"AccessDeniedException":       replica.Refused,
	"AccountDisabled":             replica.Refused,
	"AuthFailure":                 replica.Refused,
	"Blocked":                     replica.Refused,
	"IncompleteSignature":         replica.Refused,
	"InvalidClientTokenId":        replica.Refused,
	"MissingAuthenticationToken":  replica.Refused,
	"OperationNotPermitted":       replica.Refused, // also: protected against termination
	"OptInRequired":               replica.Refused,
	"PendingVerification":         replica.Refused,
	"RegionDisabledException":     replica.Refused,
	"SignatureDoesNotMatch":       replica.Refused,
	"UnauthorizedOperation":       replica.Refused,
	"UnrecognizedClientException": replica.Refused,

	// Tokens of earlier attempts.
	"IdempotentInstanceTerminated": replica.TokenDead,
	"IdempotentParameterMismatch":  replica.TokenReused,

	// Eventual consistency: what was just made is not visible everywhere.
	"IncorrectInstanceState":                replica.NotRunning,
	"IncorrectSpotRequestState":             replica.NotRunning,
	"IncorrectState":                        replica.NotRunning,
	"InvalidInstanceID.NotFound":            replica.NotRunning,
	"InvalidInstanceState":                  replica.NotRunning,
	"InvalidSpotInstanceRequestID.NotFound": replica.NotRunning,
	"InvalidState":                          replica.NotRunning,

	// Configuration: stop, and notify the tenant. Most come under a prefix. A limit of what one
	// instance of a type may have is among them, because another type may have more.
	"AttachmentLimitExceeded":                  replica.Misconfigured,
	"BootForVolumeTypeUnsupported":             replica.Misconfigured,
	"ClientInvalidParameterValue":              replica.Misconfigured,
	"CustomerKeyHasBeenRevoked":                replica.Misconfigured,
	"DefaultVpcDoesNotExist":                   replica.Misconfigured,
	"EncryptedVolumesNotSupported":             replica.Misconfigured,
	"FilterLimitExceeded":                      replica.Misconfigured,
	"InstanceCreditSpecification.NotSupported": replica.Misconfigured,
	"NoSuchVersion":                            replica.Misconfigured,
	"NonEBSInstance":                           replica.Misconfigured,
	"PackedPolicyTooLarge":                     replica.Misconfigured,
	"PrivateIpAddressLimitExceeded":            replica.Misconfigured,
	"SecurityGroupLimitExceeded":               replica.Misconfigured,
	"SecurityGroupsPerInstanceLimitExceeded":   replica.Misconfigured,
	"SecurityGroupsPerInterfaceLimitExceeded":  replica.Misconfigured,
	"TagLimitExceeded":                         replica.Misconfigured,
	"TagPolicyViolation":                       replica.Misconfigured,
	"VPCIdNotSpecified":                        replica.Misconfigured,
	"VPCResourceNotSpecified":                  replica.Misconfigured,
	"ValidationError":                          replica.Misconfigured,
	"ValidationException":                      replica.Misconfigured,
	"VolumeIOPSLimit":                          replica.Misconfigured,

	// EC2 itself, or credentials that a later call refreshes.
	"ExpiredToken":                      Unavailable,
	"ExpiredTokenException":             Unavailable,
	"InternalError":                     Unavailable,
	"InternalFailure":                   Unavailable,
	"InvalidSecurity.RequestHasExpired": Unavailable,
	"RequestExpired":                    Unavailable,
	"RequestTimeout":                    Unavailable,
	"RetryableError":                    Unavailable,
	"ServerInternal":                    Unavailable,
	"ServiceUnavailable":                Unavailable,
	"Unavailable":                       Unavailable,
}

// prefixes classify families of codes: InvalidAMIID.NotFound, MissingParameter,
// AuthFailure.ServiceLinkedRoleCreationNotPermitted and their like.
var prefixes = []struct {
	prefix string
	code   fault.Code
}{
	{"AuthFailure.", replica.Refused},
	{"Invalid", replica.Misconfigured},
	{"KMS", replica.Misconfigured},
	{"Malformed", replica.Misconfigured},
	{"Missing", replica.Misconfigured},
	{"Throttl", replica.Throttled},
	{"Unknown", replica.Misconfigured},
	{"Unsupported", replica.Misconfigured},
}

// classifyError returns the fault for an API error code. serverFault says that the
// answer blamed the server, as a code that begins with "Server." does.
func classifyError(code string, serverFault bool) fault.Code {
	if bare, ok := strings.CutPrefix(code, "Server."); ok {
		code, serverFault = bare, true
	}
	code = strings.TrimPrefix(code, "Client.")
	if c, ok := classes[code]; ok {
		return c
	}
	for _, p := range prefixes {
		if strings.HasPrefix(code, p.prefix) {
			return p.code
		}
	}
	if serverFault {
		return Unavailable
	}
	return Unknown
}

// sentences say what each class means, for the tenant and the operators' page.
var sentences = map[fault.Code]string{
	replica.NoCapacity:       "EC2 has no capacity for this",
	replica.QuotaUsedUp:      "a quota of the account is used up",
	replica.TypeQuotaUsedUp:  "the account's quota of this instance type is used up",
	replica.PartsQuotaUsedUp: "the account's quota of volumes or network interfaces is used up",
	replica.NoAddresses:      "the subnet has no free addresses",
	replica.Throttled:        "EC2 asks us to slow down",
	replica.Refused:          "the account does not permit it",
	replica.Misconfigured:    "EC2 does not accept the parameters",
	replica.Unexplained:      "EC2 refused for a reason we do not know",
	replica.TokenDead:        "an earlier attempt launched an instance that is gone",
	replica.TokenReused:      "the launch token was used with other parameters",
	replica.NotRunning:       "EC2 does not show the instance in that state yet",
	Unavailable:              "EC2 did not answer as it should",
	Unknown:                  "EC2 refused for a reason we do not know",
}

// classify turns an error of the SDK into a fault; what names what was tried. A
// caller that gave up gets its own reason back; anything else without an API
// error code is a connection or a deadline of ours, and may succeed later.
func classify(ctx context.Context, err error, what string) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return context.Canceled
	}
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return Unavailable.Wrap(err, "%s: %s", what, sentences[Unavailable]).With(replica.DetailWhy,
			sentences[Unavailable])
	}
	code := classifyError(api.ErrorCode(), api.ErrorFault() == smithy.FaultServer || serverStatus(err))
	return faultFor(code, api, err, what)
}

// classifyLaunch is classify for RunInstances. A refusal with a code that is not known ends the
// candidate at once: asking again in the same place would cost the time in which another
// place could have been asked.
func classifyLaunch(ctx context.Context, err error, what string) error {
	f := classify(ctx, err, what)
	api, ok := errors.AsType[smithy.APIError](err)
	if ok && fault.Is(f, Unknown) {
		return faultFor(replica.Unexplained, api, err, what)
	}
	return f
}

func faultFor(code fault.Code, api smithy.APIError, err error, what string) error {
	why := explain(code, api)
	return code.Wrap(err, "%s: %s (%s)", what, sentences[code], api.ErrorCode()).With(replica.DetailAWSCode,
		api.ErrorCode()).With(replica.DetailWhy, why)
}

// serverStatus says whether the answer had a status of 500 or more: an EC2 error
// does not say in its body whose fault it is.
func serverStatus(err error) bool {
	var answered interface{ HTTPStatusCode() int }
	return errors.As(err, &answered) && answered.HTTPStatusCode() >= 500
}

// hasErrorCode says whether EC2 answered with one of the codes.
func hasErrorCode(err error, codes ...string) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return false
	}
	for _, c := range codes {
		if api.ErrorCode() == c {
			return true
		}
	}
	return false
}
