package workflows_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/workflows"
)

// The four candidates of the cloud, by key.
const (
	t3b  = "spot/t3.medium.us-east-1b"
	t3c  = "spot/t3.medium.us-east-1c"
	m5b  = "spot/m5.large.us-east-1b"
	t3bD = "ondemand/t3.medium.us-east-1b"
)

// LoadReplica is how a replica stands, whatever became of it.
func (s *store) LoadReplica(_ context.Context, replicaID string) (*roles.ReplicaRow, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.all[replicaID]
	switch {
	case s.broken != nil:
		return nil, s.broken
	case r == nil:
		return nil, replica.NotFound.New("no replica %s", replicaID)
	}
	out := &roles.ReplicaRow{
		AgentID:   s.set.AgentID,
		ClientID:  s.set.ClientID,
		LogicalID: "web",
		Epoch:     s.set.Epoch,
		Launcher:  s.set.Launcher,
		Replica:   *r,
		Mode:      agent.Spot,
		PrimaryID: s.set.Primary.ID,
	}
	if until, held := s.until[r.ID]; held {
		out.HoldLeft, out.Replica.Expired = max(until.Sub(s.now()), 0), !s.now().Before(until)
	}
	if r.State == replica.Failed {
		out.ErrorCode, out.Error = string(replica.InstanceGone), "an earlier run has recorded it"
	}
	if r.State != replica.Promoted && r.State != replica.Retired && r.InstanceID != s.set.Primary.ID {
		out.Remains = r.InstanceID
	}
	_, out.Noticed = s.copy().Undecided()
	return out, nil
}

// ReplaceInstance takes an instance that ended before it ran away from its replica.
func (s *store) ReplaceInstance(_ context.Context, in roles.Replacement) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.all[in.ReplicaID]
	if r.State != replica.Requested && r.State != replica.Launching ||
		r.InstanceID != "" && r.InstanceID != in.InstanceID {
		return false, s.broken
	}
	r.InstanceID = ""
	return true, s.broken
}

// TakeOverLaunch makes the control plane the launcher of a replica.
func (s *store) TakeOverLaunch(_ context.Context, replicaID string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.all[replicaID]
	if !r.State.IsOpen() || r.InstanceID != "" {
		return false, s.broken
	}
	r.Launcher = agent.ControlPlane
	return true, s.broken
}

// edit changes the row of r1 as another writer would.
func (s *store) edit(change func(*roles.Replica)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.all["r1"])
}

// one reads the row of r1.
func (s *store) one() roles.Replica {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *s.all["r1"]
}

// replicaOf is the replica r1 of a kind that was just decided on.
func replicaOf(kind replica.Kind) roles.Replica {
	return roles.Replica{ID: "r1", Kind: kind, For: "i-old", State: replica.Requested, Launcher: agent.ControlPlane}
}

// replicaWorld is a world with one replica.
func replicaWorld(t *testing.T, r roles.Replica) *world {
	t.Helper()
	return newWorld(t, newStore().with(r))
}

// replicate runs the Replica of r1.
func (w *world) replicate(t *testing.T) (workflows.ReplicaResult, error) {
	t.Helper()
	w.ExecuteWorkflow(workflows.Replica, workflows.ReplicaInput{AgentID: "a1", ReplicaID: "r1"})
	require.True(t, w.IsWorkflowCompleted())
	var res workflows.ReplicaResult
	err := w.GetWorkflowError()
	if err == nil {
		require.NoError(t, w.GetWorkflowResult(&res))
	}
	return res, err
}

// silently moves the replica's row after d, and the news of it gets lost.
func (w *world) silently(d time.Duration, as replica.State) {
	w.after(d, func() {
		if as == replica.Promoted {
			_, _ = w.store.ChangeRoles(w.ctx, roles.RoleChange{
				AgentID:   "a1",
				OldID:     "i-old",
				NewID:     w.store.one().InstanceID,
				ReplicaID: "r1",
			})
			return
		}
		_, _ = w.store.Advance(w.ctx, roles.ReplicaTransition{ReplicaID: "r1", To: as})
	})
}

// settled moves the replica's row after d and sends the news.
func (w *world) settled(d time.Duration, as replica.State) {
	w.silently(d, as)
	w.news(d)
}

func (w *world) news(d time.Duration) {
	w.after(d, func() { w.SignalWorkflow(workflows.SignalNews, nil) })
}

// says is a report of the agent after d.
func (w *world) says(d time.Duration, status, instanceID string) {
	w.after(d, func() {
		w.SignalWorkflow(workflows.SignalReport,
			workflows.ReplicaReport{ReplicaID: "r1", Status: status, InstanceID: instanceID, Message: "as it says"})
	})
}

// noticed is AWS announcing the end of the primary after d.
func (w *world) noticed(d time.Duration) {
	w.after(d, func() {
		w.store.mu.Lock()
		defer w.store.mu.Unlock()
		w.store.outcome(interruption.Notice{InstanceID: "i-old", Kind: interruption.Termination})
	})
}

// stalls makes the row of r1 say, once so much time has passed, that it is wanted for
// too long.
func (w *world) stalls(d time.Duration) {
	w.after(d, func() { w.store.edit(func(r *roles.Replica) { r.Stalled = true }) })
}

// launches gives every launch an instance of its own, named after its pool, and lets the
// test say what becomes of it before it runs: EC2's state and reason, by pool.
func (w *world) launches(born map[string][2]string) { w.launchesAndWalks(born, "yes") }

// launchesAndWalks is launches with the activities' word that another candidate is tried whatever the
// reason. Histories that were recorded before that word lack it.
func (w *world) launchesAndWalks(born map[string][2]string, walk string) {
	launch := func(_ context.Context, in activities.LaunchInput) (*activities.LaunchResult, error) {
		w.cloud.mu.Lock()
		defer w.cloud.mu.Unlock()
		w.cloud.asked = append(w.cloud.asked, in.Where.Key())
		id := "i-" + in.Where.Key()
		if !slices.Contains(w.cloud.launched, id) {
			w.cloud.launched = append(w.cloud.launched, id)
		}
		return &activities.LaunchResult{InstanceID: id}, nil
	}
	await := func(ctx context.Context, in activities.UpInput) (*activities.InstanceState, error) {
		if end, dead := born[in.InstanceID[len("i-"):]]; dead {
			return nil, replica.InstanceGone.New("instance %s is %s: %s", in.InstanceID, end[0], end[1]).
				With(activities.GoneState, end[0]).With(activities.GoneReason, end[1]).
				With(activities.GoneWalk, walk)
		}
		return w.cloud.AwaitUp(ctx, in)
	}
	w.OnActivity("LaunchInstance", anything, anything).Return(launch)
	w.OnActivity("AwaitUp", anything, anything).Return(await)
}

// refuses makes an activity about the instance fail, and notes when it is asked.
func (w *world) refuses(name string, code fault.Code, asked *[]time.Time) {
	w.OnActivity(name, anything,
		anything).Return(func(context.Context, activities.UpInput) (*activities.InstanceState, error) {
		*asked = append(*asked, w.Now())
		return nil, code.New("no")
	})
}

// found has the watch over standbys find the instance in a state, and say so in the row.
func (w *world) found(d time.Duration, state string) {
	w.after(d, func() {
		_, _ = w.store.Advance(w.ctx, roles.ReplicaTransition{
			ReplicaID: "r1",
			To:        replica.Failed,
			ErrorCode: replica.InstanceGone,
			Error:     state,
		})
	})
	w.news(d)
}

// anything matches any argument.
const anything = mock.Anything

// when is the moment of the first step of this name.
func (p *pages) when(name string) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.steps {
		if s.Name == name {
			return s.At
		}
	}
	return time.Time{}
}
