// Package adoption judges whether an instance that an agent has named is the client's.
// An agent's claim proves nothing: launches, tags and terminations at EC2 rest on EC2's own
// answers, read through the client's role. It is pure.
package adoption

import (
	"fmt"

	"spotkeeper/internal/domain/fault"
)

// Ways to fail. Both mean that nothing at EC2 was changed.
var (
	// NotProven means that only an agent's claim connects the instance with the client.
	NotProven = fault.Define("instance.unproven", fault.Forbidden)
	// NotOurs means that EC2 does not show our tags and the client's on the instance.
	NotOurs = fault.Define("instance.not_ours", fault.Forbidden)
	// NoAccount means that the client has no AWS account that we may act in.
	NoAccount = fault.Define("clients.no_account", fault.Forbidden)
)

// Refused says whether an error is the refusal to touch an instance: its owner has to
// see to it, and trying again changes nothing.
func Refused(err error) bool {
	return fault.Is(err, NotProven) || fault.Is(err, NotOurs) || fault.Is(err, NoAccount)
}

// Proof says why we may act on an instance.
type Proof string

// Proofs.
const (
	Launched Proof = "launched" // by us, in a launch that is on record
	Adopted  Proof = "adopted"  // named by an agent, and found at EC2 to be the client's
	Unproven Proof = "unproven" // named by an agent
)

// Proven says that EC2 has confirmed whose the instance is.
func (p Proof) Proven() bool { return p == Launched || p == Adopted }

// Cause says why an instance is unproven. It is a label of metrics and part of the key
// by which a client is notified once.
type Cause string

// Causes.
const (
	Waiting      Cause = "waiting"       // EC2 was not asked yet
	ClientAlone  Cause = "no_account"    // the client has neither a role nor the right to our account
	RoleRefused  Cause = "role_refused"  // the client's role cannot be assumed, or may not look
	NotFound     Cause = "not_found"     // EC2 does not show the instance there
	NotRunning   Cause = "not_running"   // it is stopped or has ended
	OtherAccount Cause = "other_account" // it lives in another AWS account
	OtherClient  Cause = "other_client"  // its tags name another client
	NoTenantMark Cause = "no_mark"       // in a shared account nothing at EC2 names the client
	TagRefused   Cause = "tag_refused"   // the role may not tag it
	Unanswered   Cause = "unanswered"    // EC2 does not answer
)

// States of an instance that the judgement handles, in EC2's words; absent is ours.
const (
	statePending = "pending"
	stateRunning = "running"
	stateAbsent  = "absent"
)

// Claim is what connects an instance with a client: the client's account, and what EC2
// says of the instance.
type Claim struct {
	InstanceID string
	ClientID   string
	AccountID  string // the client's AWS account; empty: not known, as in our own
	HasRole    bool   // the client gave a role
	OwnAccount bool   // an operator lets the client live in our own account
	Shared     bool   // another client lives in the same account

	State    string // in EC2's words, or absent
	Fresh    bool   // it was named so recently that EC2 may not show it yet
	Region   string
	OwnerID  string // the account that EC2 names
	TaggedBy string // the client that its tags name; empty: none
	Document bool   // it has proven itself by its signed identity document
}

// Verdict is the judgement on a claim.
type Verdict struct {
	Proven bool
	Wait   bool  // EC2 will say more in a moment: ask again soon
	Cause  Cause // why it is not proven
	Reason string
	Repair string // what a person does about it
}

// CanAsk judges what is known before EC2 is asked. A verdict with a cause is final.
func (c Claim) CanAsk() Verdict {
	if !c.HasRole && !c.OwnAccount {
		return unproven(ClientAlone, "the client has no AWS account yet",
			"give the client a role_arn, or have an operator set own_account")
	}
	return Verdict{}
}

// Judge judges a claim by what EC2 says.
func (c Claim) Judge() Verdict {
	if v := c.CanAsk(); v.Cause != "" {
		return v
	}
	switch {
	case c.State == stateAbsent && c.Fresh, c.State == statePending:
		v := unproven(Waiting, "EC2 does not show "+c.InstanceID+" as running yet", "nothing has to be done")
		v.Wait = true
		return v
	case c.State == stateAbsent:
		return unproven(NotFound,
			fmt.Sprintf("EC2 shows no instance %s in %s of the client's account", c.InstanceID, c.Region),
			"check the role_arn of the client and the region that the agent reports")
	case c.State != stateRunning:
		return unproven(NotRunning, fmt.Sprintf("instance %s is %s", c.InstanceID, c.State),
			"start it, or end its agent")
	case c.AccountID != "" && c.OwnerID != c.AccountID:
		return unproven(OtherAccount,
			fmt.Sprintf("instance %s lives in account %s, not in %s", c.InstanceID, c.OwnerID, c.AccountID),
			"correct the client's account_id and role_arn")
	case c.TaggedBy != "" && c.TaggedBy != c.ClientID:
		return unproven(OtherClient, "the tags of "+c.InstanceID+" name another client",
			"register the agent with the token of the client that the tag spotkeeper:client names")
	case (c.OwnAccount || c.Shared) && c.TaggedBy == "" && !c.Document:
		return unproven(NoTenantMark,
			"several clients share the account, and nothing at EC2 says that "+c.InstanceID+" is this one's",
			"tag the instance with spotkeeper:client = "+c.ClientID)
	}
	return Verdict{Proven: true}
}

func unproven(cause Cause, reason, repair string) Verdict {
	return Verdict{Cause: cause, Reason: reason, Repair: repair}
}

// Failed is the verdict when EC2 refuses to answer or to tag.
func Failed(cause Cause, reason string) Verdict {
	repair := "nothing has to be done: EC2 is asked again"
	switch cause {
	case RoleRefused:
		repair = "let the role trust our account with the client's external_id, and give it the policy of deploy/cloudformation/tenant-role.json"
	case TagRefused:
		repair = "allow the role ec2:CreateTags as in deploy/cloudformation/tenant-role.json"
	}
	return unproven(cause, reason, repair)
}

// Sentence is the reason and the repair for people.
func (v Verdict) Sentence() string {
	if v.Cause == "" {
		return ""
	}
	return v.Reason + ": " + v.Repair + "."
}
