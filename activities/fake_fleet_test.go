package activities_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/adoption"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/fleet"
)

// fakeFleet is a small EC2 with a memory: tokens are instances, pools run out,
// answers get lost, and what was just made is not visible everywhere.
type fakeFleet struct {
	mu        sync.Mutex
	now       time.Time
	serial    int
	instances map[string]*activities.CloudInstance
	tokens    map[string]string // token → instance
	sent      map[string]string // token → request
	launches  int
	ended     []string // by Terminate

	empty     map[string]bool // Candidate.Key without capacity
	noSubnet  map[string]bool // zones
	fail      error           // of the next call of Launch
	lose      bool            // the next launch happens and its answer is lost
	unseen    bool            // Describe does not show what was launched
	templates int             // how often a template was read
	gone      bool            // the primary has ended
	stranger  map[string]bool // instances without our tags
	adopted   []string        // by Adopt
	refuse    error           // of each call of State and Adopt
}

type fakeRequest struct {
	Token    string                 `json:"token"`
	Region   string                 `json:"region"`
	Where    replica.Candidate      `json:"where"`
	Owner    activities.LaunchOwner `json:"owner"`
	Template json.RawMessage        `json:"template"`
}

var _ activities.Fleet = (*fakeFleet)(nil)

func newFakeFleet() *fakeFleet {
	return &fakeFleet{
		now:       time.Now(),
		instances: map[string]*activities.CloudInstance{},
		tokens:    map[string]string{},
		sent:      map[string]string{},
		empty:     map[string]bool{},
		noSubnet:  map[string]bool{},
	}
}

func (f *fakeFleet) Template(context.Context, activities.Account, string, string) (json.RawMessage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone {
		return nil, replica.InstanceGone.New("it has ended")
	}
	f.templates++
	return json.RawMessage(fmt.Sprintf(`{"read": %d}`, f.templates)), nil // each reading differs, as an AMI may
}

func (f *fakeFleet) Freeze(
	template json.RawMessage,
	where replica.Candidate,
	owner activities.LaunchOwner,
) (*activities.FrozenLaunch, error) {
	if f.noSubnet[where.AZ] {
		return nil, replica.NoAddresses.New("no subnet in %s", where.AZ)
	}
	token := fleet.LaunchToken(owner.ReplicaID, where.PoolID, where.Mode)
	raw, err := json.Marshal(fakeRequest{
		Token:    token,
		Region:   where.Region,
		Where:    where,
		Owner:    owner,
		Template: template,
	})
	return &activities.FrozenLaunch{Token: token, Request: raw}, err
}

func (f *fakeFleet) Launch(
	_ context.Context,
	_ activities.Account,
	request json.RawMessage,
) (*activities.CloudInstance, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var r fakeRequest
	if err := json.Unmarshal(request, &r); err != nil {
		return nil, err
	}
	canonical, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	if err := f.fail; err != nil {
		f.fail = nil
		return nil, err
	}
	if id, made := f.tokens[r.Token]; made {
		switch i := f.instances[id]; {
		case f.sent[r.Token] != string(canonical):
			return nil, replica.TokenReused.New("other parameters")
		case i.State == activities.StateTerminated:
			return nil, replica.TokenDead.New("%s is gone", id)
		default:
			return i, nil
		}
	}
	if f.empty[r.Where.Key()] {
		return nil, replica.NoCapacity.New("%s is empty", r.Where.Key())
	}
	f.serial++
	f.launches++
	i := &activities.CloudInstance{
		ID:         fmt.Sprintf("i-new-%d", f.serial),
		State:      activities.StatePending,
		Mode:       r.Where.Mode,
		PoolID:     r.Where.PoolID,
		Region:     r.Region,
		LaunchedAt: f.now,
		Owner:      r.Owner,
		Marked:     true,
		Token:      r.Token,
	}
	f.instances[i.ID], f.tokens[r.Token], f.sent[r.Token] = i, i.ID, string(canonical)
	if f.lose {
		f.lose = false
		return nil, fleet.Unavailable.New("the answer was lost")
	}
	return i, nil
}

func (f *fakeFleet) State(
	_ context.Context,
	_ activities.Account,
	region, id string,
) (*activities.CloudInstance, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		return nil, f.refuse
	}
	if i, ok := f.instances[id]; ok && !f.unseen {
		seen := *i
		return &seen, nil
	}
	return &activities.CloudInstance{ID: id, Region: region, State: activities.StateAbsent}, nil
}

func (f *fakeFleet) Terminate(_ context.Context, _ activities.Account, _, id string, launchedAt time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, ok := f.instances[id]
	if !ok && f.now.Sub(launchedAt) < activities.Visibility {
		return replica.NotRunning.New("EC2 does not show %s yet", id)
	}
	if ok && f.stranger[id] {
		return adoption.NotOurs.New("EC2 shows no tags of ours on %s", id)
	}
	if ok && i.State != activities.StateTerminated {
		i.State = activities.StateTerminated
		f.ended = append(f.ended, id)
	}
	return nil
}

func (f *fakeFleet) Adopt(_ context.Context, a activities.Account, _, id, agentID string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, ok := f.instances[id]
	if !ok || i.State != activities.StateRunning {
		return replica.NotRunning.New("%s does not run", id)
	}
	i.Owner, i.Marked = activities.LaunchOwner{ClientID: a.ClientID, AgentID: agentID}, true
	f.adopted = append(f.adopted, id)
	return nil
}

func (f *fakeFleet) Ours(
	_ context.Context,
	_ activities.Account,
	region, clientID string,
) ([]activities.CloudInstance, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []activities.CloudInstance
	for _, i := range f.instances {
		if i.Region == region && i.Owner.ClientID == clientID && i.State != activities.StateTerminated {
			out = append(out, *i)
		}
	}
	return out, nil
}

func (f *fakeFleet) Launched(
	_ context.Context,
	_ activities.Account,
	region string,
	tokens []string,
) (map[string]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string]string{}
	for _, i := range f.instances {
		if i.Region == region && slices.Contains(tokens, i.Token) {
			out[i.Token] = i.ID
		}
	}
	return out, nil
}

// become sets the state that EC2 shows of an instance.
func (f *fakeFleet) become(id, state string, checks bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, ok := f.instances[id]
	if !ok {
		i = &activities.CloudInstance{ID: id, Region: "us-east-1", LaunchedAt: f.now.Add(-time.Hour)}
		f.instances[id] = i
	}
	i.State, i.ChecksOK = state, checks
}

// pass lets time pass.
func (f *fakeFleet) pass(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

func (*fakeFleet) Revise(activities.FrozenLaunch, error) (*activities.FrozenLaunch, bool) {
	return nil, false
}

func (*fakeFleet) CancelRequest(context.Context, activities.Account, string, string) error {
	return nil
}
