package roles

import (
	"slices"
	"time"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
)

// Pauses between launches, which tests know.
const (
	standbyFirstPause    = 30 * time.Second
	standbyLongestPause  = 30 * time.Minute
	emergencyPause       = 2 * time.Second
	unmendedPause        = 30 * time.Second // every candidate would be refused again
	emergencyLongest     = 5 * time.Minute
	emergencyShortPauses = 3 // pauses before they grow
)

// nearness orders the open states by how soon a replica could take over.
var nearness = map[replica.State]int{replica.Requested: 1, replica.Launching: 2, replica.Running: 3, replica.Ready: 4}

// Interrupted says whether AWS has announced the end of a replica's instance, however
// that notice was answered. Such a replica is no successor: it would be gone two minutes
// later.
func (s *AgentRoles) Interrupted(r Replica) bool {
	_, noticed := s.Outcome(r.InstanceID, interruption.Termination)
	return noticed && r.InstanceID != ""
}

// StallAfter is how long a wanted replica may be without an instance before it no
// longer counts as a successor: an emergency replica is opened beside it.
const StallAfter = 20 * time.Second

// Successor returns the replica that would take over soonest, whatever its kind. A
// later one wins only when it is closer to ready, so that the choice is stable. A
// standby whose launch waits, and any replica that has stalled or may not take over, is
// none: an emergency replica is opened beside it.
func (s *AgentRoles) Successor() (Replica, bool) {
	return s.nearest(func(r Replica) bool {
		return !s.Interrupted(r) && !r.Stalled && (r.Wait <= 0 || r.Kind != replica.Manual) && s.mayTakeOver(r)
	})
}

// mayTakeOver says whether a replica may become the primary: an agent's claim about an
// instance must not replace a proven primary. With an unproven primary nothing at EC2 is
// changed, and the roles follow the agent's reports.
func (s *AgentRoles) mayTakeOver(r Replica) bool { return !r.Unproven || s.Primary.Unproven }

// SuccessorWanted is Successor for an agent that asks for a replica: that one wins only if no
// other is closer to ready.
func (s *AgentRoles) SuccessorWanted(replicaID string) (Replica, bool) {
	best, ok := s.Successor()
	if wish, open := s.Replica(replicaID); open && !s.Interrupted(wish) && s.mayTakeOver(wish) &&
		nearness[wish.State] >= nearness[best.State] {
		return wish, true
	}
	return best, ok
}

func (s *AgentRoles) nearest(fits func(Replica) bool) (best Replica, ok bool) {
	for _, r := range s.Replicas {
		if fits(r) && nearness[r.State] > nearness[best.State] {
			best, ok = r, true
		}
	}
	return best, ok
}

// Undecided returns the termination notice for the present primary that waits
// for a successor. One that was answered as lost still waits: its instance is gone
// and a late successor is better than none.
func (s *AgentRoles) Undecided() (interruption.Outcome, bool) {
	o, noticed := s.Outcome(s.Primary.ID, interruption.Termination)
	return o, noticed && (o.Result == interruption.Undecided || o.Result == interruption.Lost)
}

// SettledNotices returns the notices whose end follows from the roles alone, with
// their result filled in: a rebalance that came to nothing, a notice about an
// instance that is not the primary, and a termination whose deadline passed.
// They are only to be written down; a notice with a successor is closed by the
// change of roles.
func (s *AgentRoles) SettledNotices() []interruption.Outcome {
	var out []interruption.Outcome
	for _, o := range s.Outcomes {
		if o.Result != interruption.Undecided {
			continue
		}
		switch {
		case o.InstanceID != s.Primary.ID:
			o.Result = interruption.NotPrimary
		case o.Kind == interruption.Rebalance && (o.Past || s.heldOut(o.InstanceID)):
			o.Result = interruption.StoodDown
		case o.Kind == interruption.Termination && o.Past:
			o.Result = interruption.Lost
		default:
			continue
		}
		out = append(out, o)
	}
	return out
}

// heldOut says whether a replica has waited its whole hold for the instance's end.
func (s *AgentRoles) heldOut(instanceID string) bool {
	return slices.ContainsFunc(s.Replicas, func(r Replica) bool {
		return r.Kind == replica.Rebalance && r.For == instanceID && r.Expired
	})
}

// WantsStandby says whether manual mode lacks its standby. Whatever is open
// counts, a demoted primary or an emergency replica too, because there are
// never two; only a switch's instance is spoken for.
func (s *AgentRoles) WantsStandby() bool {
	return s.Keeping == agent.KeepManual && s.Enabled && s.alive() && !s.Unproven() && len(s.standbys()) == 0
}

// StandbyRequest is the decision to have the standby of manual mode beside a primary.
func (s *AgentRoles) StandbyRequest(primary Instance) ReplicaRequest {
	return ReplicaRequest{
		AgentID:   s.AgentID,
		Kind:      replica.Manual,
		For:       primary.ID,
		CreatedBy: "system",
		Reason:    "the standby of manual mode",
		Plan:      replica.Plan{Mode: agent.Spot, InstanceType: primary.InstanceType},
	}
}

// WantsEmergency returns the notice that has no open replica, because none was opened
// or the last one failed: a termination in any mode, a rebalance in auto mode while
// its two hours last.
func (s *AgentRoles) WantsEmergency() (interruption.Outcome, bool) {
	if !s.alive() || s.Unproven() {
		return interruption.Outcome{}, false
	}
	if o, waits := s.Undecided(); waits {
		_, successor := s.Successor()
		return o, !successor
	}
	o, noticed := s.Outcome(s.Primary.ID, interruption.Rebalance)
	wanted := noticed && o.Result == interruption.Undecided && !o.Past && s.Keeping == agent.KeepAuto &&
		len(s.standbys()) == 0
	return o, wanted
}

// Unproven says that nothing may be launched for the agent: the control plane would copy
// its primary, and only an agent's claim says that the primary is the client's. Agents
// that launch for themselves are exempt.
func (s *AgentRoles) Unproven() bool {
	return s.Primary.Unproven && s.Launcher != agent.ByAgent
}

// BackOff is how long the next launch of a kind waits after the launches for the
// same cause that failed in a row. The first launch of a cause never waits, and a
// switch that a person asked for does not wait at all.
func (s *AgentRoles) BackOff(kind replica.Kind) time.Duration {
	failures := s.Failures.CountFor(kind)
	switch {
	case failures <= 0:
		return 0
	case kind == replica.Manual:
		return min(standbyFirstPause<<min(failures-1, 10), standbyLongestPause)
	case s.Failures.Unmended:
		return min(unmendedPause<<min(failures-1, 10), emergencyLongest)
	default:
		return min(emergencyPause<<min(max(failures-emergencyShortPauses, 0), 10), emergencyLongest)
	}
}

// Surplus returns the replicas that are no longer needed: what the mode that
// was turned off had kept, a hold that has run out, an emergency that another
// successor has settled, a second standby in manual mode, and those whose instance AWS takes. While a
// termination notice waits for its successor every other replica is a candidate and
// stays. A switch's replica belongs to its Switch and is never surplus.
func (s *AgentRoles) Surplus() []Replica {
	_, waiting := s.Undecided()
	keep, _ := s.nearest(func(r Replica) bool {
		return r.Kind != replica.Switch && !s.Interrupted(r) &&
			!s.outdated(r)
	})
	var out []Replica
	for _, r := range s.Replicas {
		switch {
		case s.Deleted:
			out = append(out, r)
		case r.Kind == replica.Switch:
		case s.Interrupted(r):
			out = append(out, r)
		case waiting:
		case s.outdated(r), s.Keeping == agent.KeepManual && r.ID != keep.ID:
			out = append(out, r)
		}
	}
	return out
}

// outdated says whether the reason of a standby is gone.
func (s *AgentRoles) outdated(r Replica) bool {
	switch r.Kind {
	case replica.Manual:
		// Outside manual mode a demoted primary is the way back while it is held.
		return s.Keeping != agent.KeepManual && (r.Hold == 0 || r.Expired)
	case replica.Rebalance:
		return s.Keeping != agent.KeepAuto || r.Expired || r.For != s.Primary.ID
	case replica.Termination:
		// Manual mode takes it over as its standby: it is paid for already.
		return s.Keeping != agent.KeepManual && (r.Expired || r.For != s.Primary.ID)
	default:
		return false
	}
}

// Unsettled says whether a reconciliation would find something to do.
func (s *AgentRoles) Unsettled() bool {
	_, waiting := s.Undecided()
	_, emergency := s.WantsEmergency()
	return waiting || emergency || s.WantsStandby() || len(s.Surplus()) > 0 || len(s.SettledNotices()) > 0
}

// reviewAgain is how soon a Guardian looks again at roles that want something it
// cannot bring about at once.
const reviewAgain = 30 * time.Second

// NextReview says whether the roles have to be judged again without a new message, and how
// soon: in half a minute while a replica is missing, and at the deadline of an open notice.
func (s *AgentRoles) NextReview() (in time.Duration, wanted bool) {
	if s.Deleted && len(s.Replicas) == 0 {
		return 0, false
	}
	if s.Unsettled() && !s.Unproven() { // its adoption asks for the next review
		return reviewAgain, true
	}
	for _, o := range s.Outcomes {
		if o.Result == interruption.Undecided && (!wanted || o.Left < in) {
			in, wanted = max(o.Left, time.Second), true
		}
	}
	return in, wanted
}

func (s *AgentRoles) alive() bool { return !s.Deleted && s.Primary.ID != "" }

// standbys returns the open replicas that no switch has spoken for.
func (s *AgentRoles) standbys() []Replica {
	return slices.DeleteFunc(slices.Clone(s.Replicas), func(r Replica) bool { return r.Kind == replica.Switch })
}
