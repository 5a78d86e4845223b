// Package credentials defines how callers other than operators prove who they are:
// which kinds of tokens there are, what each may do, how long it is good for and when
// it is renewed. It is pure: randomness and time are passed in.
package credentials

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/plaintext"
)

// Ways to fail.
var (
	NotFound        = fault.Define("credentials.not_found", fault.NotFound)
	Invalid         = fault.Define("credentials.invalid", fault.Invalid)
	TooMany         = fault.Define("credentials.too_many", fault.Conflict)
	Exhausted       = fault.Define("credentials.used_up", fault.Unauthorized)
	NotForThis      = fault.Define("credentials.not_for_this", fault.Forbidden)
	ScopeTooSmall   = fault.Define("credentials.scope_too_small", fault.Forbidden)
	ForeignInstance = fault.Define("credentials.foreign_instance", fault.Forbidden)
)

// Kind is the purpose of a credential.
type Kind string

// Kinds.
const (
	Enrolment Kind = "enrolment" // exchanges itself for an agent credential, and nothing else
	Agent     Kind = "agent"     // reports for one agent from one instance
	Tenant    Kind = "tenant"    // acts for the client, within its scope
	Legacy    Kind = "legacy"    // the one token of a client from before there were kinds
)

// prefixes begin the tokens of each kind, so that scanners for secrets find them and a
// token says what it is. Legacy tokens begin with clients.TokenPrefix.
var prefixes = map[Kind]string{Enrolment: "spk-enrol-", Agent: "spk-agent-", Tenant: "spk-tenant-"}

// NewToken makes a token of a kind with 190 random bits.
func NewToken(kind Kind, random io.Reader) (string, error) {
	token, err := clients.NewToken(random)
	if err != nil {
		return "", err
	}
	prefix, ok := prefixes[kind]
	if !ok {
		return "", fmt.Errorf("there is no token of the kind %q", kind)
	}
	return prefix + strings.TrimPrefix(token, clients.TokenPrefix), nil
}

// KindOf is the kind that a token says it is. What has no prefix of ours is looked up
// as a legacy token.
func KindOf(token string) Kind {
	for kind, prefix := range prefixes {
		if strings.HasPrefix(token, prefix) {
			return kind
		}
	}
	return Legacy
}

// Scope is the permission of a tenant's credential. Each scope includes the ones before it.
type Scope string

// Scopes.
const (
	Read    Scope = "read"    // read what is the client's
	Operate Scope = "operate" // also move, pause, configure and notify
	Admin   Scope = "admin"   // also credentials, and what cannot be undone
)

var ranks = map[Scope]int{Read: 1, Operate: 2, Admin: 3}

// Includes says whether a scope allows what wanted allows.
func (s Scope) Includes(wanted Scope) bool { return ranks[s] > 0 && ranks[s] >= ranks[wanted] }

// LegacyMode is the permission of a client's legacy token.
type LegacyMode string

// Modes.
const (
	LegacyAll   LegacyMode = "all"   // what agents do, and what tenants do
	LegacyAgent LegacyMode = "agent" // what the deployed agents do
	LegacyOff   LegacyMode = "off"   // nothing
)

// Known says whether the mode is one of ours.
func (m LegacyMode) Known() bool { return m == LegacyAll || m == LegacyAgent || m == LegacyOff }

// Bounds.
const (
	MaxName        = 100 // characters
	MaxPerClient   = 200 // credentials that are neither expired nor revoked, agents' not counted
	MaxUses        = 10_000
	MaxEnrolTTL    = 30 * 24 * time.Hour
	MaxTenantTTL   = 2 * 365 * 24 * time.Hour
	EnrolTTL       = 15 * time.Minute // when none is asked for
	AgentTTL       = 24 * time.Hour
	RenewAfter     = AgentTTL * 67 / 100 // of the life of an agent credential
	RenewPause     = time.Minute         // between two renewals of one credential
	NoteUseAtLeast = 5 * time.Minute     // last_used_at is not written more often
)

// NewCredential is the input of creating a credential.
type NewCredential struct {
	ClientID  string
	Kind      Kind
	Name      string        // for people; an enrolment may go without
	Scope     Scope         // of a tenant credential
	TTL       time.Duration // 0: the default of the kind; a tenant credential without one does not expire
	Uses      int           // of an enrolment; 0: one
	LogicalID string        // the only agent that an enrolment may register; empty: any
}

// Normalize fills in defaults and validates the rest. Fails with credentials.invalid.
func (n *NewCredential) Normalize() error {
	n.Name = strings.TrimSpace(n.Name)
	switch {
	case utf8.RuneCountInString(n.Name) > MaxName:
		return Invalid.New("The name of a credential has %d characters at most", MaxName)
	case strings.ContainsFunc(n.Name, plaintext.IsHidden):
		return Invalid.New("The name of a credential contains a character that is not shown")
	case strings.ContainsFunc(n.LogicalID, plaintext.IsHidden):
		return Invalid.New("The agent's name contains a character that is not shown")
	case n.TTL < 0:
		return Invalid.New("A credential cannot expire before it is made")
	}
	switch n.Kind {
	case Enrolment:
		return n.normalizeEnrolment()
	case Tenant:
		return n.normalizeTenant()
	case Agent, Legacy:
	}
	return Invalid.New("A credential that is made by hand is an enrolment or a tenant credential")
}

func (n *NewCredential) normalizeEnrolment() error {
	if n.TTL == 0 {
		n.TTL = EnrolTTL
	}
	if n.Uses == 0 {
		n.Uses = 1
	}
	switch {
	case n.Scope != "":
		return Invalid.New("An enrolment has no scope: it registers, and does nothing else")
	case n.TTL > MaxEnrolTTL:
		return Invalid.New("An enrolment is good for %d days at most", int(MaxEnrolTTL.Hours()/24))
	case n.Uses < 0 || n.Uses > MaxUses:
		return Invalid.New("An enrolment may be used between 1 and %d times", MaxUses)
	}
	return nil
}

func (n *NewCredential) normalizeTenant() error {
	switch {
	case ranks[n.Scope] == 0:
		return Invalid.New("The scope of a tenant credential is read, operate or admin")
	case n.Name == "":
		return Invalid.New("A tenant credential has a name, so that one can be told from another")
	case n.TTL > MaxTenantTTL:
		return Invalid.New("A tenant credential is good for %d days at most", int(MaxTenantTTL.Hours()/24))
	case n.Uses != 0 || n.LogicalID != "":
		return Invalid.New("Only an enrolment has a number of uses and an agent")
	}
	return nil
}

// AgentOf says what an agent's credential is bound to, and how the agent joined.
type AgentOf struct {
	ClientID   string
	AgentID    string
	InstanceID string
	ParentID   string // the enrolment, or the credential that is renewed; empty: neither
	By         string // for people, such as "an enrolment"
}

// ShouldRenew says whether an agent credential is due for its successor.
func ShouldRenew(issued, expires, now time.Time) bool {
	life := expires.Sub(issued)
	return now.Sub(issued) >= time.Duration(float64(life)*float64(RenewAfter)/float64(AgentTTL))
}
