package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
)

// Revise returns the next request for the same place after this one was refused: in
// another subnet of the zone when its subnet is full or gone, and without a key pair that
// was deleted, because an instance that no key opens is better than none. ok is
// false when nothing can be left out.
func (r LaunchRequest) Revise(cause error) (next LaunchRequest, ok bool) {
	code := awsCode(cause)
	next = r
	next.Without = slices.Clone(r.Without)
	switch {
	case fault.Is(cause, replica.NoAddresses) || strings.HasPrefix(code, "InvalidSubnet"):
		if len(r.OtherSubnets) == 0 {
			return r, false
		}
		next.SubnetID, next.OtherSubnets = r.OtherSubnets[0], slices.Clone(r.OtherSubnets[1:])
	case strings.HasPrefix(code, "InvalidKeyPair") && r.KeyName != "":
		next.Without = append(next.Without,
			"launched without the key pair "+r.KeyName+", which does not exist any more")
		next.KeyName = ""
	case r.PlacementGroup != "" &&
		(strings.HasPrefix(code, "InvalidPlacementGroup") || code == "InvalidParameterCombination"):
		next.Without = append(next.Without,
			"launched outside the placement group "+r.PlacementGroup+", which cannot be used here")
		next.PlacementGroup, next.Partition = "", 0
	default:
		return r, false
	}
	sum := sha256.Sum256([]byte("spotkeeper/launch/again\x00" + r.ClientToken))
	next.ClientToken = hex.EncodeToString(sum[:])
	return next, true
}

// awsCode returns the API error code behind a fault, "" when there is none.
func awsCode(err error) string {
	if e, ok := errors.AsType[*fault.Error](err); ok {
		code, _ := e.Details[replica.DetailAWSCode].(string)
		return code
	}
	return ""
}
