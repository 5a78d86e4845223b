// Package operators defines what the people and programs that operate a deployment may
// do. It is pure.
package operators

import "spotkeeper/internal/domain/fault"

// Ways to be refused.
var (
	RoleTooSmall = fault.Define("auth.role_too_small", fault.Forbidden)
	NoRole       = fault.Define("auth.no_role", fault.Forbidden)
)

// Role is the permission of an operator. Each role includes the ones before it.
type Role string

// Roles.
const (
	Viewer   Role = "viewer"   // reads everything but secrets
	Operator Role = "operator" // also moves, pauses, configures and runs jobs
	Admin    Role = "admin"    // also clients, credentials, limits, code, and what cannot be undone
)

var ranks = map[Role]int{Viewer: 1, Operator: 2, Admin: 3}

// Known says whether the role is one of ours.
func (r Role) Known() bool { return ranks[r] > 0 }

// Includes says whether a role allows what wanted allows.
func (r Role) Includes(wanted Role) bool { return ranks[r] > 0 && ranks[r] >= ranks[wanted] }

// Account is an operator with a token of its own, from the configuration.
type Account struct {
	Token string
	Role  Role
}

// Greatest is the greatest role of the groups that a person is in, and none when no group
// has one.
func Greatest(groups []string, roles map[string]Role) (out Role) {
	for _, group := range groups {
		if role := roles[group]; ranks[role] > ranks[out] {
			out = role
		}
	}
	return out
}

// Check fails with auth.role_too_small when the role of an operator is less than wanted.
func Check(name string, has, wanted Role) error {
	if has.Includes(wanted) {
		return nil
	}
	return RoleTooSmall.New("This needs the role %s, and %s has %s: ask an admin of this deployment.", wanted, name, has).
		With("role", has).With("needs", wanted)
}
