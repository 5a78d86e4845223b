package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strings"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
)

// Revise returns the next request for the same place after this one was refused for a part
// that can be replaced or left out: another subnet of the zone, or an instance without a key
// pair that was deleted, a placement group that cannot take it, a capacity reservation, credits,
// hibernation, a dedicated host, or the client's own tags. Such an instance is better than none,
// and Without says what it lacks. ok is false when nothing can be left out.
func (r LaunchRequest) Revise(cause error) (next LaunchRequest, ok bool) {
	code := strings.TrimPrefix(awsCode(cause), "Client.")
	if fault.Is(cause, replica.NoAddresses) || strings.HasPrefix(code, "InvalidSubnet") {
		if len(r.OtherSubnets) == 0 {
			return r, false
		}
		next = r
		next.SubnetID, next.OtherSubnets = r.OtherSubnets[0], slices.Clone(r.OtherSubnets[1:])
		return next.again(r.ClientToken), true
	}
	for _, p := range optionalParts {
		if !p.has(r) || !slices.ContainsFunc(p.codes, func(of string) bool { return strings.HasPrefix(code, of) }) {
			continue
		}
		next = r
		next.Without = append(slices.Clone(r.Without), p.words(r))
		p.drop(&next)
		return next.again(r.ClientToken), true
	}
	return r, false
}

// again gives the request a token of its own, which follows from the former one.
func (r LaunchRequest) again(former string) LaunchRequest {
	sum := sha256.Sum256([]byte("spotkeeper/launch/again\x00" + former))
	r.ClientToken = hex.EncodeToString(sum[:])
	return r
}

// optionalPart is a part of a request that an instance can be launched without.
type optionalPart struct {
	codes []string // beginnings of the codes that refuse it
	has   func(LaunchRequest) bool
	words func(LaunchRequest) string
	drop  func(*LaunchRequest)
}

var optionalParts = []optionalPart{
	{
		codes: []string{"InvalidKeyPair"},
		has:   func(r LaunchRequest) bool { return r.KeyName != "" },
		words: func(r LaunchRequest) string {
			return "launched without the key pair " + r.KeyName + ", which does not exist any more"
		},
		drop: func(r *LaunchRequest) { r.KeyName = "" },
	},
	{
		// A group that is tied to one zone has room for nothing elsewhere, and a spread group or a
		// partition is full with seven instances. EC2 names neither in a code of its own.
		codes: []string{"InvalidPlacementGroup", "InvalidParameterCombination", "InsufficientInstanceCapacity",
			"PlacementGroupLimitExceeded", "InvalidPlacementGroupId"},
		has: func(r LaunchRequest) bool { return r.PlacementGroup != "" },
		words: func(r LaunchRequest) string {
			return "launched outside the placement group " + r.PlacementGroup + ", which cannot be used here"
		},
		drop: func(r *LaunchRequest) { r.PlacementGroup, r.Partition = "", 0 },
	},
	{
		codes: []string{"TagPolicyViolation", "TagLimitExceeded", "InvalidTagKey"},
		has:   LaunchRequest.hasClientTags,
		words: func(LaunchRequest) string {
			return "launched without the tags of the original, which EC2 or a tag policy does not accept"
		},
		drop: func(r *LaunchRequest) {
			r.Tags = maps.Clone(r.Tags)
			maps.DeleteFunc(r.Tags, func(name, _ string) bool { return !isOwnTag(name) })
		},
	},
	{
		codes: []string{"InvalidCapacityReservation", "ReservationCapacityExceeded", "InvalidLaunchTargets"},
		has:   func(r LaunchRequest) bool { return r.Reservation != "" },
		words: func(LaunchRequest) string { return "launched outside the capacity reservations" },
		drop:  func(r *LaunchRequest) { r.Reservation = "" },
	},
	{
		codes: []string{"InstanceCreditSpecification", "InvalidInstanceCreditSpecification", "InvalidCpuCredits"},
		has:   func(r LaunchRequest) bool { return r.Credits != "" },
		words: func(r LaunchRequest) string { return "launched with the type's own credit mode, not " + r.Credits },
		drop:  func(r *LaunchRequest) { r.Credits = "" },
	},
	{
		codes: []string{"UnsupportedHibernationConfiguration"},
		has:   func(r LaunchRequest) bool { return r.Hibernation },
		words: func(LaunchRequest) string { return "it cannot hibernate: EC2 does not offer that here" },
		drop:  func(r *LaunchRequest) { r.Hibernation = false },
	},
	{
		codes: []string{"IncompatibleHostRequirements", "UnavailableHostRequirements", "InsufficientHostCapacity",
			"InsufficientCapacityOnHost", "UnsupportedInstanceTypeOnHost", "UnsupportedHostConfiguration", "InvalidHost"},
		has:   func(r LaunchRequest) bool { return r.Tenancy == "host" },
		words: func(LaunchRequest) string { return "it runs on no dedicated host: none takes it" },
		drop:  func(r *LaunchRequest) { r.Tenancy = "" },
	},
}

// awsCode returns the API error code behind a fault, "" when there is none.
func awsCode(err error) string {
	if e, ok := errors.AsType[*fault.Error](err); ok {
		code, _ := e.Details[replica.DetailAWSCode].(string)
		return code
	}
	return ""
}
