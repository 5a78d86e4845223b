package credentials

import (
	"time"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/domain/fault"
)

// Ways to be refused with a token that was found. The sentences of the first and the last
// are those that deployed agents and installers know.
var (
	Inactive  = fault.Define("auth.client_inactive", fault.Forbidden)
	Expired   = fault.Define("credentials.expired", fault.Unauthorized)
	Revoked   = fault.Define("credentials.revoked", fault.Unauthorized)
	LegacyOut = fault.Define("credentials.legacy_off", fault.Unauthorized)
)

// StoredCredential is a credential as it is looked up, with what decides whether it is good.
type StoredCredential struct {
	ID         string // empty for a legacy token
	Kind       Kind
	Name       string
	Scope      Scope
	LogicalID  string // of the agent; of an enrolment, the only one that it registers, or empty
	AgentID    string // of an agent's credential
	InstanceID string
	CreatedAt  time.Time
	ExpiresAt  *time.Time
	RevokedAt  *time.Time
	RenewedAt  *time.Time
	LastUsedAt *time.Time
	Retired    bool   // the instance of an agent's credential has ended
	TokenHash  []byte // that it was found by

	ClientID   string
	ClientName string
	Email      string
	Status     clients.Status
	Launcher   agent.Launcher
	LegacyMode LegacyMode
}

// Judge says whether the credential is good at a moment. Fails with
// auth.client_inactive, credentials.expired, credentials.revoked and
// credentials.legacy_off.
func (f *StoredCredential) Judge(now time.Time) error {
	switch {
	case f.Status != clients.Active:
		return Inactive.New("Client account is not active")
	case f.RevokedAt != nil:
		return Revoked.New("This token has been revoked: use another one.")
	case f.ExpiresAt != nil && !now.Before(*f.ExpiresAt):
		return Expired.New("This token expired at %s: use a new one.", f.ExpiresAt.UTC().Format(time.RFC3339))
	case f.Kind == Agent && f.Retired:
		return Revoked.New("The instance of this token has been retired: its token ended with it.")
	case f.Kind == Legacy && f.LegacyMode == LegacyOff:
		return LegacyOut.New(
			"The client's old token is switched off: agents join with an enrolment, programs have tokens of their own.")
	default:
		return nil
	}
}

// RouteUse is the permission that a route requires of a credential.
type RouteUse struct {
	Agents bool  // it is an agent's own route
	Joins  bool  // it is the route on which an agent joins
	Own    bool  // an agent's credential may call it
	Old    bool  // the deployed agents call it
	Needs  Scope // of a tenant's credential
}

// Allows says whether the credential is for a route. Fails with
// credentials.not_for_this and credentials.scope_too_small.
func (f *StoredCredential) Allows(u RouteUse) error {
	switch f.Kind {
	case Enrolment:
		if !u.Joins {
			return NotForThis.New("An enrolment token is good for POST /api/agents/join only.")
		}
	case Agent:
		if !u.Own {
			return NotForThis.New("An agent's token is good for the reports of its own agent only.")
		}
	case Tenant:
		switch {
		case u.Joins:
			return NotForThis.New("An agent joins with an enrolment token.")
		case u.Agents:
			return NotForThis.New("This is for agents: a tenant's token is not good for it.")
		case !f.Scope.Includes(u.Needs):
			return ScopeTooSmall.New("This needs a token with the scope %s, and yours has %s.", u.Needs, f.Scope).
				With("scope", f.Scope).With("needs", u.Needs)
		}
	case Legacy:
		switch {
		case u.Joins:
			return NotForThis.New("An agent joins with an enrolment token.")
		case f.LegacyMode == LegacyAgent && !u.Old:
			return NotForThis.New("The client's old token is for its agents only: make a token with a scope for this.")
		}
	}
	return nil
}
