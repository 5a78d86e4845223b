// Package joining judges what an instance proves itself with when its agent joins: a
// request to STS that it has signed, or its identity document. No secret is given to the
// instance beforehand.
package joining

import (
	"regexp"
	"slices"
	"time"

	"spotkeeper/internal/domain/fault"
)

// Ways to be refused.
var (
	Refused        = fault.Define("join.refused", fault.Unauthorized)
	StaleChallenge = fault.Define("join.stale_challenge", fault.Unauthorized)
	DocumentUsed   = fault.Define("join.document_used", fault.Unauthorized)
	NotListed      = fault.Define("join.not_listed", fault.Forbidden)
	Ambiguous      = fault.Define("join.ambiguous", fault.Conflict)
	BadRules       = fault.Define("join.bad_rules", fault.Invalid)
	Unavailable    = fault.Define("join.sts_unavailable", fault.Unavailable)
)

// Bounds.
const (
	ChallengeBytes = 32
	ChallengeTTL   = time.Minute
	DocumentTTL    = 5 * time.Minute // from an instance's start
	clockSkew      = time.Minute     // that a document may be ahead of us
	maxRoles       = 50
)

// Rules say which instances of a client's account may join without a token.
type Rules struct {
	// Roles are names of IAM roles. An instance whose profile has one of them may join. Only
	// EC2 may be able to assume such a role: a person who can assume it can choose the
	// session name, and so pretend to be any instance.
	Roles []string
	// Documents allows identity documents.
	Documents bool
}

// roleName is what IAM allows, https://docs.aws.amazon.com/IAM/latest/APIReference/API_Role.html.
var roleName = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)

// Normalize sorts the roles, and judges them. Fails with join.bad_rules.
func (r *Rules) Normalize() error {
	if len(r.Roles) > maxRoles {
		return BadRules.New("A client has %d roles at most whose instances may join", maxRoles)
	}
	for _, role := range r.Roles {
		if !roleName.MatchString(role) {
			return BadRules.New("%q is not the name of an IAM role: give the name, not the ARN", role)
		}
	}
	slices.Sort(r.Roles)
	r.Roles = slices.Compact(r.Roles)
	return nil
}

// Candidate is a client in whose account the instance is.
type Candidate struct {
	ClientID string
	Launcher string
	Rules    Rules
}

// Choose picks the client that an instance joins: the named one, or the only one that lets
// it. Fails with join.not_listed and join.ambiguous.
func Choose(from []Candidate, named string, allows func(Rules) bool) (Candidate, error) {
	var found []Candidate
	for _, c := range from {
		if allows(c.Rules) && (named == "" || named == c.ClientID) {
			found = append(found, c)
		}
	}
	switch len(found) {
	case 0:
		return Candidate{}, NotListed.New("No client lets this instance join: " +
			"the account must be the client's, and the role on its list of PUT /api/client/{client_id}/join-rules.")
	case 1:
		return found[0], nil
	}
	return Candidate{}, Ambiguous.New("Several clients share this account: name one by join.client_id in the agent's configuration.")
}

// Allows says whether an instance of a role may join.
func (r Rules) Allows(role string) bool { return slices.Contains(r.Roles, role) }
