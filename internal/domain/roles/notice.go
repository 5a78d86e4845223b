package roles

import (
	"slices"
	"time"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
)

// Ruling is what an agent's roles say about a notice that has become durable.
type Ruling string

// Rulings about a notice.
const (
	RuledKnown      Ruling = "known"       // it was decided before
	RuledNotPrimary Ruling = "not_primary" // it is about an instance that is not the primary
	RuledFailOver   Ruling = "fail_over"   // a successor is ready: the roles change now
	RuledLaunch     Ruling = "launch"      // no successor is ready: the Guardian brings one about
	RuledPrepare    Ruling = "prepare"     // an early warning that auto mode answers with a replica
	RuledUnproven   Ruling = "unproven"    // nothing may be launched in its place; a review follows when it is proven
	RuledNone       Ruling = "none"        // nothing follows from it
)

// Verdict is the judgement on one notice, and what has to be written with it.
type Verdict struct {
	Ruling Ruling      `json:"ruling"`
	Change *RoleChange `json:"change,omitempty"` // RuledFailOver: the change of roles
	Lost   string      `json:"lost,omitempty"`   // RuledNotPrimary: the open replica whose instance ends

	// Standby is opened together with the change: what manual mode lacks after it.
	Standby *ReplicaRequest `json:"standby,omitempty"`

	// Review says that the Guardian has to look at the roles afterwards.
	Review bool `json:"review,omitempty"`
}

// JudgeNotice judges a notice by the roles, in which the notice itself is among the
// outcomes already. Every door and the Guardian judge by it. With a ready successor
// the verdict is the change of roles at every door: the epoch decides between two.
func JudgeNotice(s *AgentRoles, n interruption.Notice) Verdict {
	known, _ := s.Outcome(n.InstanceID, n.Kind)
	switch {
	case known.Result != interruption.Undecided && known.Result != interruption.Lost:
		return Verdict{Ruling: RuledKnown}
	case n.InstanceID != s.Primary.ID:
		return s.judgeOther(n)
	case n.Kind == interruption.Rebalance && s.Unproven():
		return Verdict{Ruling: RuledUnproven}
	case n.Kind == interruption.Rebalance:
		if s.Keeping != agent.KeepAuto || !s.alive() {
			return Verdict{Ruling: RuledNone}
		}
		return Verdict{Ruling: RuledPrepare, Review: true}
	}
	successor, ok := s.SuccessorWanted(known.Wanted)
	if !ok && s.Unproven() {
		return Verdict{Ruling: RuledUnproven, Review: true}
	}
	if !ok || successor.State != replica.Ready || successor.InstanceID == "" {
		return Verdict{Ruling: RuledLaunch, Review: true}
	}
	change := s.FailOver(successor)
	v := Verdict{Ruling: RuledFailOver, Change: &change}
	if next, wanted := s.standbyAfter(successor); wanted {
		v.Standby = &next
	}
	v.Review = s.reviewedAfter(successor, v.Standby != nil)
	return v
}

// judgeOther judges a notice about an instance that is not the primary. A replica
// on an instance that AWS terminates can no longer take over.
func (s *AgentRoles) judgeOther(n interruption.Notice) Verdict {
	v := Verdict{Ruling: RuledNotPrimary}
	if r, on := s.ReplicaOn(n.InstanceID); on && n.Kind == interruption.Termination {
		v.Lost, v.Review = r.ID, true
	}
	return v
}

// FailOver is the change that makes a replica primary because AWS takes the present
// one. AWS ends that instance.
func (s *AgentRoles) FailOver(successor Replica) RoleChange {
	return RoleChange{
		AgentID: s.AgentID, Epoch: s.Epoch, OldID: s.Primary.ID, NewID: successor.InstanceID, ReplicaID: successor.ID,
		Fate: LeaveOld, Cause: ByTermination, OperationID: TerminationOperation(s.AgentID, s.Primary.ID),
	}
}

// standbyAfter is the standby that manual mode lacks once the successor is primary. It
// needs no second look: the roles that were read are those that change.
func (s *AgentRoles) standbyAfter(successor Replica) (ReplicaRequest, bool) {
	after := *s
	after.Replicas = slices.DeleteFunc(slices.Clone(s.Replicas), func(r Replica) bool { return r.ID == successor.ID })
	instanceType, _, err := agent.SplitPool(successor.PoolID)
	if err != nil || !after.WantsStandby() {
		return ReplicaRequest{}, false
	}
	return s.StandbyRequest(Instance{ID: successor.InstanceID, InstanceType: instanceType}), true
}

// reviewedAfter says whether the Guardian has work once the successor is primary: a
// next standby, a replica that is surplus then, or a notice that it settles.
func (s *AgentRoles) reviewedAfter(successor Replica, hasStandby bool) bool {
	if s.Keeping == agent.KeepManual && !hasStandby || len(s.Replicas) > 1 {
		return true
	}
	for _, o := range s.Outcomes {
		other := o.InstanceID != s.Primary.ID || o.Kind != interruption.Termination
		if other && o.Result == interruption.Undecided {
			return true
		}
		if o.InstanceID == successor.InstanceID {
			return true
		}
	}
	return false
}

// OldPrimary is what becomes of an old primary after a change of roles that a
// person or the engine asked for.
func (s *AgentRoles) OldPrimary(demote bool) OldPrimaryPolicy {
	switch {
	case demote:
		return DemoteOld
	case !s.AutoTerminate:
		return KeepOld
	default:
		return RetireOld
	}
}

// NoticeJudge judges a notice by the roles. It is JudgeNotice, but for tests.
type NoticeJudge func(s *AgentRoles, n interruption.Notice) Verdict

// TakenNotice is a notice that is durable, with what followed from it at once.
type TakenNotice struct {
	Known     bool                 `json:"known"`     // the instance is or was the agent's; otherwise nothing is kept
	First     bool                 `json:"first"`     // it had not arrived before
	Delivered bool                 `json:"delivered"` // a Guardian had it before
	FirstDoor string               `json:"first_door,omitempty"`
	Behind    *time.Duration       `json:"behind,omitempty"` // after the first door, when this is the first arrival through the second one
	Role      agent.Role           `json:"role"`             // of the instance, when the notice arrived
	Outcome   interruption.Outcome `json:"outcome"`          // after the verdict
	Verdict   Verdict              `json:"verdict"`
	Set       *AgentRoles          `json:"set,omitempty"`     // the roles as they were judged
	Standby   string               `json:"standby,omitempty"` // the replica that was opened with the verdict
	Trace     string               `json:"trace,omitempty"`   // the W3C traceparent of the arrival; empty where traces are off
}

// Operation is the operation that carries the notice on, empty for none.
func (t *TakenNotice) Operation() string {
	if t.Outcome.Kind == interruption.Termination &&
		(t.Verdict.Ruling == RuledFailOver || t.Verdict.Ruling == RuledLaunch) {
		return TerminationOperation(t.Set.AgentID, t.Outcome.InstanceID)
	}
	return ""
}
