package workflows_test

import (
	"context"
	"slices"
	"sync"

	"go.temporal.io/sdk/activity"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
)

// cloud is EC2 in memory: what was launched and what became of it.
type cloud struct {
	mu        sync.Mutex
	store     *store
	pools     []replica.Candidate
	full      map[string]fault.Code // what launching in a pool fails with, by key
	launched  []string
	ended     []string
	asked     []string // pools in which a launch was tried
	outcomes  []activities.PoolOutcome
	neverRun  bool
	neverDone bool            // status checks never pass
	gone      map[string]bool // ended without us
	looks     int             // at whether an instance is gone
	post      *post
	refuse    fault.Code // what ending an instance fails with
}

func newCloud(s *store) *cloud {
	return &cloud{store: s, full: map[string]fault.Code{}, gone: map[string]bool{}, pools: []replica.Candidate{
		{PoolID: "t3.medium.us-east-1b", InstanceType: "t3.medium", AZ: "us-east-1b", Mode: "spot", Why: "safest"},
		{PoolID: "t3.medium.us-east-1c", InstanceType: "t3.medium", AZ: "us-east-1c", Mode: "spot"},
		{PoolID: "m5.large.us-east-1b", InstanceType: "m5.large", AZ: "us-east-1b", Mode: "spot"},
		{PoolID: "t3.medium.us-east-1b", InstanceType: "t3.medium", AZ: "us-east-1b", Mode: "ondemand"},
	}}
}

func (c *cloud) ChooseCandidates(context.Context, activities.ChooseInput) (*activities.ChooseResult, error) {
	if len(c.pools) == 0 {
		return nil, replica.NoPool.New("none")
	}
	return &activities.ChooseResult{Candidates: c.pools, Revisit: true}, nil
}

func (c *cloud) LaunchInstance(_ context.Context, in activities.LaunchInput) (*activities.LaunchResult, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, in.Where.Key())
	if code, full := c.full[in.Where.Key()]; full {
		return nil, code.New("%s", in.Where.Key())
	}
	id := "i-" + in.ReplicaID
	if !slices.Contains(c.launched, id) {
		c.launched = append(c.launched, id)
	}
	return &activities.LaunchResult{InstanceID: id}, nil
}

// AwaitUp answers at once or never: the polls of the real one are its retries, which a
// test would have to sit through. Like the real one it records that the instance runs.
func (c *cloud) AwaitUp(ctx context.Context, in activities.UpInput) (*activities.InstanceState, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.gone[in.InstanceID] || slices.Contains(c.ended, in.InstanceID):
		return nil, replica.InstanceGone.New("%s has ended", in.InstanceID)
	case c.neverRun:
		return nil, activity.ErrResultPending
	}
	out, err := c.store.AdvanceJudged(ctx, roles.ReplicaTransition{
		ReplicaID:  in.ReplicaID,
		To:         replica.Running,
		InstanceID: in.InstanceID,
	},
		(*roles.AgentRoles).Unsettled)
	if err != nil {
		return nil, err
	}
	c.outcomes = append(c.outcomes, activities.PoolOutcome{AgentID: in.AgentID, Where: in.Where})
	if out.Wake {
		_ = c.post.Wake(ctx, in.AgentID, in.ReplicaID+" runs")
	}
	if c.neverDone {
		return nil, activity.ErrResultPending
	}
	return &activities.InstanceState{State: "running", ChecksOK: true}, nil
}

func (c *cloud) AwaitGone(_ context.Context, in activities.WatchInput) (*activities.InstanceState, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.looks++
	if c.gone[in.InstanceID] || slices.Contains(c.ended, in.InstanceID) {
		return &activities.InstanceState{State: "terminated"}, nil
	}
	return nil, replica.NotRunning.New("%s still runs", in.InstanceID)
}

func (c *cloud) RetireInstance(_ context.Context, in activities.WatchInput) error {
	if c.store.view().Primary.ID == in.InstanceID {
		return roles.IsPrimary.New("%s is the primary", in.InstanceID)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuse != "" {
		return c.refuse.New("no")
	}
	if !slices.Contains(c.ended, in.InstanceID) {
		c.ended = append(c.ended, in.InstanceID)
	}
	return nil
}

func (c *cloud) RecordPool(_ context.Context, in activities.PoolOutcome) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outcomes = append(c.outcomes, in)
	return nil
}

// end takes an instance away.
func (c *cloud) end(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone[id] = true
}

// pages are the rows of operations in memory.
type pages struct {
	mu     sync.Mutex
	saves  []activities.OperationProgress
	steps  []activities.OperationStep
	closed []activities.OperationEnd
	phases []activities.SwitchPhase
	orders []activities.CommandResult
	broken error
}

func (p *pages) Save(_ context.Context, in activities.OperationProgress) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken != nil {
		return p.broken
	}
	p.saves, p.steps = append(p.saves, in), append(p.steps, in.Steps...)
	if in.End != nil {
		p.closed = append(p.closed, *in.End)
	}
	return nil
}

func (p *pages) RecordPhase(_ context.Context, in activities.SwitchPhase) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken == nil {
		p.phases = append(p.phases, in)
	}
	return p.broken
}

func (p *pages) CloseCommand(_ context.Context, in activities.CommandResult) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken == nil {
		p.orders = append(p.orders, in)
	}
	return p.broken
}

// last is how the operation was closed.
func (p *pages) last() activities.OperationEnd {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.closed) == 0 {
		return activities.OperationEnd{}
	}
	return p.closed[len(p.closed)-1]
}

// warned is the notification that the client got while the operation went on.
func (p *pages) warned() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, in := range p.saves {
		if in.Warn != "" {
			return in.Warn
		}
	}
	return ""
}

func (p *pages) has(name, status string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.steps, func(s activities.OperationStep) bool {
		return s.Name == name &&
			s.Status == status
	})
}

// post takes the messages between workflows.
type post struct {
	mu       sync.Mutex
	wakes    []string
	nudges   []activities.Nudge
	starts   []activities.OpenRow
	reports  []activities.Report
	failures int // how many messages get lost first
}

func (p *post) take(add func()) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failures > 0 {
		p.failures--
		return fault.Code("workflow.unreachable").New("away")
	}
	add()
	return nil
}

func (p *post) Wake(_ context.Context, _, why string) error {
	return p.take(func() { p.wakes = append(p.wakes, why) })
}

func (p *post) Nudge(_ context.Context, in activities.Nudge) error {
	return p.take(func() { p.nudges = append(p.nudges, in) })
}

func (p *post) StartOperation(_ context.Context, row activities.OpenRow) (bool, error) {
	return true, p.take(func() { p.starts = append(p.starts, row) })
}

func (p *post) Report(_ context.Context, in activities.Report) error {
	return p.take(func() { p.reports = append(p.reports, in) })
}

// nudged counts the nudges of an operation.
func (p *post) nudged(operationID string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, x := range p.nudges {
		if x.OperationID == operationID {
			n++
		}
	}
	return n
}

// started counts the starts of an operation.
func (p *post) started(operationID string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, x := range p.starts {
		if x.ID == operationID {
			n++
		}
	}
	return n
}
