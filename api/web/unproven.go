package web

import (
	"spotkeeper/internal/domain/adoption"
	"spotkeeper/internal/postgres/views"
)

// Unproven says why nothing at EC2 is done for an instance, and what repairs it.
type Unproven struct {
	Cause  string `json:"cause" doc:"waiting, no_account, role_refused, not_found, not_running, other_account, other_client, no_mark, tag_refused or unanswered"`
	Reason string `json:"reason"`
	Repair string `json:"repair"`
}

// Sentence is the reason and the repair in words.
func (u *Unproven) Sentence() string {
	return adoption.Verdict{Cause: adoption.Cause(u.Cause), Reason: u.Reason, Repair: u.Repair}.Sentence()
}

// ProofOf answers what connects an instance with its client; the second value is nil when
// that is more than an agent's claim.
func ProofOf(proofs []views.ProofView, instanceID string) (string, *Unproven) {
	for _, p := range proofs {
		switch {
		case p.InstanceID != instanceID:
		case p.Proof == adoption.Unproven:
			return string(p.Proof), &Unproven{Cause: string(p.Cause), Reason: p.Reason, Repair: p.Repair}
		default:
			return string(p.Proof), nil
		}
	}
	return "", nil
}
