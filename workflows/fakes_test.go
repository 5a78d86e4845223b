package workflows_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
)

// store is one agent in memory, with the guards of the real one: a request, a
// cause and a replica count once, states only go forward, and the epoch decides.
type store struct {
	mu       sync.Mutex
	set      roles.AgentRoles
	all      map[string]*roles.Replica // whatever became of them
	until    map[string]time.Time      // when holds end
	promoted map[string]string         // role changes by replica
	steps    []roles.ReplicaTransition
	now      func() time.Time

	taken     []interruption.Notice
	reviews   []activities.Review
	wishes    map[string]wish
	changed   map[string]roles.RoleChange
	changedAt time.Time // of the last change
	switches  []string  // operations of switches that are pending
	leftOver  string    // who ends the old primary, as a person has decided

	stale  int   // how many role changes are refused first
	broken error // what every step fails with, while it is set
}

func newStore() *store {
	return &store{
		all: map[string]*roles.Replica{}, until: map[string]time.Time{}, promoted: map[string]string{}, now: time.Now,
		wishes: map[string]wish{}, changed: map[string]roles.RoleChange{},
		set: roles.AgentRoles{
			AgentID:       "a1",
			ClientID:      "c1",
			Keeping:       agent.KeepAuto,
			Launcher:      agent.ControlPlane,
			Enabled:       true,
			AutoTerminate: true,
			Primary: roles.Instance{
				ID:           "i-old",
				InstanceType: "t3.medium",
				AZ:           "us-east-1a",
				Role:         agent.Primary,
			},
		},
	}
}

// with adds a replica that is there already.
func (s *store) with(r roles.Replica) *store {
	s.all[r.ID] = &r
	if r.Hold > 0 && r.State == replica.Ready {
		s.until[r.ID] = s.now().Add(r.Hold)
	}
	return s
}

// standby is a ready replica, the usual successor.
func standby() roles.Replica {
	return roles.Replica{
		ID:         "r1",
		Kind:       replica.Manual,
		For:        "i-old",
		State:      replica.Ready,
		Launcher:   agent.ControlPlane,
		InstanceID: "i-new",
	}
}

// copy is the set as Postgres would answer it now. Call it with the lock.
func (s *store) copy() *roles.AgentRoles {
	c := s.set
	c.Replicas = nil
	for _, id := range s.ids() {
		r := *s.all[id]
		if !r.State.IsOpen() {
			continue
		}
		if until, held := s.until[id]; held {
			r.Expired = !s.now().Before(until)
		}
		c.Replicas = append(c.Replicas, r)
	}
	c.Outcomes = slices.Clone(s.set.Outcomes)
	for i, o := range c.Outcomes {
		c.Outcomes[i].Past, c.Outcomes[i].Left = !s.now().Before(o.Deadline), o.Deadline.Sub(s.now())
	}
	return &c
}

func (s *store) ids() []string {
	var ids []string
	for id := range s.all {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// view is copy for tests.
func (s *store) view() *roles.AgentRoles {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.copy()
}

// state is the state of a replica, open or ended.
func (s *store) state(id string) replica.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.all[id]; r != nil {
		return r.State
	}
	return ""
}

func (s *store) changes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.promoted)
}

func (s *store) decided() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

func (s *store) Roles(context.Context, string) (*roles.AgentRoles, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.copy(), s.broken
}

func (s *store) OpenReplica(_ context.Context, in roles.ReplicaRequest) (*roles.ReplicaOpened, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.set.Deleted {
		return nil, agent.NotFound.New("gone")
	}
	if r := s.same(in); r != nil {
		return &roles.ReplicaOpened{Set: s.copy(), Replica: *r}, nil
	}
	r := &roles.Replica{
		ID:        fmt.Sprintf("r%d", len(s.all)+1),
		Kind:      in.Kind,
		For:       in.For,
		State:     replica.Requested,
		Launcher:  s.set.Launcher,
		Plan:      in.Plan,
		Hold:      in.Hold,
		RequestID: in.RequestID,
	}
	if in.InstanceID != "" {
		r.InstanceID, r.State, r.Launcher = in.InstanceID, replica.Running, agent.ByAgent
	}
	s.all[r.ID] = r
	return &roles.ReplicaOpened{Set: s.copy(), Replica: *r}, nil
}

// same finds the replica of an equal decision: by its request, open or ended; by its kind
// while it is open.
func (s *store) same(in roles.ReplicaRequest) *roles.Replica {
	for _, id := range s.ids() {
		if r := s.all[id]; in.RequestID != "" && r.RequestID == in.RequestID ||
			in.InstanceID != "" && r.InstanceID == in.InstanceID {
			return r
		}
	}
	for _, id := range s.ids() {
		if r := s.all[id]; r.State.IsOpen() && (r.Kind == in.Kind || r.Kind.Emergency() && in.Kind.Emergency()) {
			return r
		}
	}
	return nil
}

func (s *store) Advance(ctx context.Context, in roles.ReplicaTransition) (bool, error) {
	out, err := s.AdvanceJudged(ctx, in, (*roles.AgentRoles).Unsettled)
	return out != nil && out.Ours, err
}

func (s *store) AdvanceJudged(
	_ context.Context,
	in roles.ReplicaTransition,
	wantsReview func(*roles.AgentRoles) bool,
) (*roles.Advanced, error) {
	ours, err := s.advance(in)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, awaited := s.wishes[in.ReplicaID]
	return &roles.Advanced{Ours: ours, Wake: ours && wantsReview(s.copy()), Awaited: awaited}, nil
}

func (s *store) advance(in roles.ReplicaTransition) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.all[in.ReplicaID]
	if r == nil {
		return false, replica.NotFound.New("no replica %s", in.ReplicaID)
	}
	if r.State != in.To && !slices.Contains(in.To.PreviousStates(), r.State) {
		return false, nil
	}
	s.steps = append(s.steps, in)
	if r.State != in.To && r.Kind != replica.Switch {
		switch in.To {
		case replica.Failed:
			switch r.Kind {
			case replica.Termination:
				s.set.Failures.Termination++
			case replica.Rebalance:
				s.set.Failures.Rebalance++
			default:
				s.set.Failures.Standby++
			}
		case replica.Ready:
			s.set.Failures.Standby = 0
		}
	}
	r.State = in.To
	if r.InstanceID == "" {
		r.InstanceID = in.InstanceID
	}
	if _, held := s.until[r.ID]; in.To == replica.Ready && r.Hold > 0 && !held {
		s.until[r.ID] = s.now().Add(r.Hold)
	}
	return true, s.broken
}

func (s *store) TakeAgain(ctx context.Context, in interruption.Notice, judge roles.NoticeJudge) (*roles.TakenNotice, error) {
	s.mu.Lock()
	if s.broken != nil {
		defer s.mu.Unlock()
		return nil, s.broken
	}
	if s.set.Deleted {
		defer s.mu.Unlock()
		return nil, agent.NotFound.New("gone")
	}
	s.taken = append(s.taken, in)
	o := s.outcome(in)
	out := &roles.TakenNotice{Known: true, Set: s.copy()}
	out.Outcome, _ = out.Set.Outcome(in.InstanceID, in.Kind)
	out.Verdict = judge(out.Set, in)
	if s.stale > 0 && out.Verdict.Change != nil {
		s.stale--
		out.Verdict = roles.Verdict{Ruling: roles.RuledLaunch, Review: true}
	}
	switch {
	case out.Verdict.Ruling == roles.RuledNotPrimary:
		o.Result = interruption.NotPrimary
		if r := s.all[out.Verdict.Lost]; r != nil {
			r.State = replica.Retiring
		}
	case out.Verdict.Change != nil:
		s.mu.Unlock()
		_, err := s.ChangeRoles(ctx, *out.Verdict.Change)
		if err == nil && out.Verdict.Standby != nil {
			var opened *roles.ReplicaOpened
			if opened, err = s.OpenReplica(ctx, *out.Verdict.Standby); err == nil {
				out.Standby = opened.Replica.ID
			}
		}
		s.mu.Lock()
		if err != nil {
			s.mu.Unlock()
			return nil, err
		}
	}
	defer s.mu.Unlock()
	out.Outcome, _ = s.copy().Outcome(in.InstanceID, in.Kind)
	return out, nil
}

func (s *store) SettleReview(_ context.Context, in activities.Review) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reviews = append(s.reviews, in)
	return s.broken
}

// Termination is how the loss of an instance stands.
func (s *store) Termination(_ context.Context, agentID, instanceID string) (*activities.TerminationFacts, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return nil, s.broken
	}
	set := s.copy()
	o, found := set.Outcome(instanceID, interruption.Termination)
	if !found {
		return nil, agent.NotFound.New("no notice")
	}
	out := &activities.TerminationFacts{
		Outcome:   o,
		Keeping:   set.Keeping,
		Launcher:  set.Launcher,
		LogicalID: "web",
		Primary:   set.Primary.ID == instanceID,
		Notice: interruption.Notice{
			AgentID:    agentID,
			InstanceID: instanceID,
			Kind:       interruption.Termination,
			Deadline:   o.Deadline,
			Door:       "http",
		},
		ReceivedAt: o.Deadline.Add(-interruption.NoticeLead),
		Switches:   s.switches,
		EndedBy:    s.leftOver,
	}
	if o.Result == interruption.Promoted {
		at := s.changedAt
		if at.IsZero() {
			at = out.ReceivedAt
		}
		out.ChangedAt = &at
	}
	return out, nil
}

func (s *store) WantPromotion(_ context.Context, in roles.PromotionWish) (*roles.AgentRoles, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.wishes[in.ReplicaID]; !there {
		s.wishes[in.ReplicaID] = wish{PromotionWish: in, until: s.now().Add(in.Wait)}
	}
	return s.copy(), s.broken
}

func (s *store) Promotion(_ context.Context, replicaID string) (*roles.Promotion, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, there := s.wishes[replicaID]
	if !there {
		return nil, replica.NotFound.New("no promotion")
	}
	out := &roles.Promotion{
		AgentID:   w.AgentID,
		ReplicaID: replicaID,
		Demote:    w.Demote,
		By:        w.By,
		Left:      w.until.Sub(s.now()),

		AcceptSilent: w.AcceptSilent,
	}
	if newID, done := s.promoted[replicaID]; done {
		c := s.changed[replicaID]
		out.Changed, out.NewID, out.OldID, out.Cause, out.RetireOld = true, newID, c.OldID, c.Cause, c.Fate == roles.RetireOld
	}
	return out, s.broken
}
