package workflows_test

import (
	"context"
	"fmt"
	"time"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
)

// wish is a requested promotion.
type wish struct {
	roles.PromotionWish

	until time.Time
}

// outcome finds or makes the row of a notice.
func (s *store) outcome(in interruption.Notice) *interruption.Outcome {
	for i, o := range s.set.Outcomes {
		if o.InstanceID == in.InstanceID && o.Kind == in.Kind {
			return &s.set.Outcomes[i]
		}
	}
	deadline := in.Deadline
	if in.Kind == interruption.Termination && deadline.IsZero() {
		deadline = s.now().Add(interruption.NoticeLead)
	}
	if in.Kind == interruption.Rebalance && deadline.IsZero() {
		deadline = s.now().Add(replica.RebalanceHold)
	}
	s.set.Outcomes = append(s.set.Outcomes, interruption.Outcome{
		InstanceID: in.InstanceID,
		Kind:       in.Kind,
		Deadline:   deadline,
		Wanted:     in.ReplicaID,
	})
	return &s.set.Outcomes[len(s.set.Outcomes)-1]
}

func (s *store) DecideNotice(_ context.Context, in activities.Decision) (*roles.AgentRoles, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.outcome(in.Notice); o.Result == interruption.Undecided {
		o.Result = in.Result
	}
	return s.copy(), s.broken
}

func (s *store) SetKeeping(_ context.Context, _ string, keeping agent.StandbyMode, _ string) (*roles.AgentRoles, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set.Keeping, s.set.Failures = keeping, roles.Failures{}
	return s.copy(), s.broken
}

func (s *store) ChangeRoles(_ context.Context, in roles.RoleChange) (*roles.AgentRoles, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stale > 0 {
		s.stale--
		return nil, roles.StaleEpoch.New("too late")
	}
	if _, done := s.promoted[in.ReplicaID]; !done {
		r := s.all[in.ReplicaID]
		if in.Epoch != s.set.Epoch || in.OldID != s.set.Primary.ID || r == nil || r.InstanceID != in.NewID ||
			r.State != replica.Running && r.State != replica.Ready {
			return nil, roles.StaleEpoch.New("too late")
		}
		r.State = replica.Promoted
		s.set.Epoch++
		s.set.Failures = roles.Failures{}
		s.promoted[in.ReplicaID], s.changed[in.ReplicaID], s.changedAt = in.NewID, in, s.now()
		old := s.set.Primary.ID
		s.set.Primary.ID = in.NewID
		if in.Fate == roles.DemoteOld {
			id := fmt.Sprintf("r%d", len(s.all)+1)
			s.all[id] = &roles.Replica{
				ID:         id,
				Kind:       replica.Manual,
				For:        in.NewID,
				State:      replica.Ready,
				Launcher:   agent.ControlPlane,
				InstanceID: old,
			}
			if s.set.Keeping != agent.KeepManual {
				s.all[id].Hold, s.until[id] = replica.RebalanceHold, s.now().Add(replica.RebalanceHold)
			}
		}
	}
	for i, o := range s.set.Outcomes {
		if o.InstanceID == in.OldID && (o.Result == interruption.Undecided || o.Result == interruption.Lost) {
			s.set.Outcomes[i].Result, s.set.Outcomes[i].ReplicaID, s.set.Outcomes[i].NewPrimary = interruption.Promoted, in.ReplicaID, in.NewID
		}
	}
	return s.copy(), s.broken
}

func (s *store) Remove(context.Context, string, string) (*activities.Removed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &activities.Removed{}
	for _, id := range s.ids() {
		if r := s.all[id]; r.State.IsOpen() {
			r.State = replica.Retiring
		}
		if s.all[id].State == replica.Retiring {
			out.Replicas = append(out.Replicas, id)
		}
	}
	if !s.set.Deleted {
		out.Instances = []string{s.set.Primary.ID}
	}
	s.set.Deleted, s.set.Primary = true, roles.Instance{}
	out.Set = s.copy()
	return out, nil
}
