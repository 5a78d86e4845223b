package activities

import (
	"context"
	"time"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/roles"
)

// RoleStore is the part of postgres.Roles that role activities use.
type RoleStore interface {
	Roles(ctx context.Context, agentID string) (*roles.AgentRoles, error)
	OpenReplica(ctx context.Context, in roles.ReplicaRequest) (*roles.ReplicaOpened, error)
	AdvanceJudged(
		ctx context.Context,
		in roles.ReplicaTransition,
		wantsReview func(*roles.AgentRoles) bool,
	) (*roles.Advanced, error)
	LoadReplica(ctx context.Context, replicaID string) (*roles.ReplicaRow, error)
	ReplaceInstance(ctx context.Context, in roles.Replacement) (bool, error)
	TakeOverLaunch(ctx context.Context, replicaID string) (bool, error)
	TakeAgain(ctx context.Context, in interruption.Notice, judge roles.NoticeJudge) (*roles.TakenNotice, error)
	SettleReview(ctx context.Context, in Review) error
	Termination(ctx context.Context, agentID, instanceID string) (*TerminationFacts, error)
	WantPromotion(ctx context.Context, in roles.PromotionWish) (*roles.AgentRoles, error)
	Promotion(ctx context.Context, replicaID string) (*roles.Promotion, error)
	DecideNotice(ctx context.Context, in Decision) (*roles.AgentRoles, error)
	SetKeeping(ctx context.Context, agentID string, keeping agent.StandbyMode, by string) (*roles.AgentRoles, error)
	ChangeRoles(ctx context.Context, in roles.RoleChange) (*roles.AgentRoles, error)
	Remove(ctx context.Context, agentID, by string) (*Removed, error)
}

// Roles are the steps that judge and change who plays which part. They run as
// local activities: each is one short transaction. A workflow task that is lost
// runs them again, so each is guarded by a natural key or by the epoch and finds
// its own work done.
type Roles struct{ Store RoleStore }

// LoadRoles reads an agent's roles. Fails with agent.not_found.
func (r *Roles) LoadRoles(ctx context.Context, agentID string) (*roles.AgentRoles, error) {
	return r.Store.Roles(ctx, agentID)
}

// OpenReplica makes the decision to have one more replica durable. The request,
// and while it is open the cause, make it the same decision when it comes again.
func (r *Roles) OpenReplica(ctx context.Context, in roles.ReplicaRequest) (*roles.ReplicaOpened, error) {
	return r.Store.OpenReplica(ctx, in)
}

// AdvanceReplica moves a replica on. A replica that was promoted or given up meanwhile no
// longer belongs to the caller; one that has reached the step already does. The answer names
// the workflows that the change concerns, so that the caller wakes no other.
func (r *Roles) AdvanceReplica(ctx context.Context, in roles.ReplicaTransition) (*roles.Advanced, error) {
	return r.Store.AdvanceJudged(ctx, in, (*roles.AgentRoles).Unsettled)
}

// LoadReplica reads the state of a replica. Fails with replica.not_found.
func (r *Roles) LoadReplica(ctx context.Context, replicaID string) (*roles.ReplicaRow, error) {
	return r.Store.LoadReplica(ctx, replicaID)
}

// ReplaceInstance takes an instance that ended before it ran away from its replica,
// which may then launch in another pool, and answers false when it may not. It names
// the instance, so a second call takes away no later one.
func (r *Roles) ReplaceInstance(ctx context.Context, in roles.Replacement) (bool, error) {
	return r.Store.ReplaceInstance(ctx, in)
}

// TakeOverLaunch makes the control plane the launcher of a replica whose agent has
// launched nothing, and answers false when it has an instance or is over. It sets a
// level, so a second run changes nothing.
func (r *Roles) TakeOverLaunch(ctx context.Context, replicaID string) (bool, error) {
	return r.Store.TakeOverLaunch(ctx, replicaID)
}

// TakeNotice makes a notice durable, has the roles judged and changes them when a
// successor is ready, in one transaction. The key (agent, instance, kind) makes a
// second one the same, and finds what the first one decided.
func (r *Roles) TakeNotice(ctx context.Context, in interruption.Notice) (*roles.TakenNotice, error) {
	return r.Store.TakeAgain(ctx, in, roles.JudgeNotice)
}

// Review says that a Guardian has judged the roles as they were at a sequence number.
type Review struct {
	AgentID string        `json:"agent_id"`
	Seq     int64         `json:"seq"`
	Next    time.Duration `json:"next,omitempty"` // until they are due again; zero: never
}

// SettleReview closes a request for a review. Roles that changed meanwhile stay due,
// so a Guardian that is late settles nothing it has not seen.
func (r *Roles) SettleReview(ctx context.Context, in Review) error {
	return r.Store.SettleReview(ctx, in)
}

// TerminationFacts are how the loss of an instance stands in Postgres.
type TerminationFacts struct {
	Notice     interruption.Notice  `json:"notice"`
	Outcome    interruption.Outcome `json:"outcome"`
	Keeping    agent.StandbyMode    `json:"keeping"`
	Launcher   agent.Launcher       `json:"launcher"`
	LogicalID  string               `json:"logical_id"`
	Primary    bool                 `json:"primary"`  // the instance still is the primary
	Gone       bool                 `json:"gone"`     // it is known to have ended
	EndedBy    string               `json:"ended_by"` // who ends it; not aws when a person decided so
	Switches   []string             `json:"switches"` // operations of switches that are pending
	ArrivedAt  *time.Time           `json:"arrived_at,omitempty"`
	ReceivedAt time.Time            `json:"received_at"`
	JudgedAt   *time.Time           `json:"judged_at,omitempty"`
	ChangedAt  *time.Time           `json:"changed_at,omitempty"`
}

// LoadTerminationInput names the loss of an instance.
type LoadTerminationInput struct {
	AgentID    string `json:"agent_id"`
	InstanceID string `json:"instance_id"`
}

// LoadTermination reads the state of the loss of an instance. Fails with
// agent.not_found when there is no notice about it.
func (r *Roles) LoadTermination(ctx context.Context, in LoadTerminationInput) (*TerminationFacts, error) {
	return r.Store.Termination(ctx, in.AgentID, in.InstanceID)
}

// WantPromotion makes a person's promotion durable, once per replica.
func (r *Roles) WantPromotion(ctx context.Context, in roles.PromotionWish) (*roles.AgentRoles, error) {
	return r.Store.WantPromotion(ctx, in)
}

// LoadPromotion reads the state of a person's promotion. Fails with replica.not_found.
func (r *Roles) LoadPromotion(ctx context.Context, replicaID string) (*roles.Promotion, error) {
	return r.Store.Promotion(ctx, replicaID)
}

// Decision closes a notice that led to no change of roles.
type Decision struct {
	Notice interruption.Notice `json:"notice"`
	Result interruption.Result `json:"result"` // stood_down, not_primary or lost
}

// DecideNotice closes a notice; one that was decided before keeps its result.
func (r *Roles) DecideNotice(ctx context.Context, in Decision) (*roles.AgentRoles, error) {
	return r.Store.DecideNotice(ctx, in)
}

// SetKeepingInput is the input of SetKeeping.
type SetKeepingInput struct {
	AgentID string            `json:"agent_id"`
	Keeping agent.StandbyMode `json:"keeping"`
	By      string            `json:"by"`
}

// SetKeeping sets when an agent keeps a replica. It sets a level, so a second run changes nothing.
func (r *Roles) SetKeeping(ctx context.Context, in SetKeepingInput) (*roles.AgentRoles, error) {
	return r.Store.SetKeeping(ctx, in.AgentID, in.Keeping, in.By)
}

// ChangeRoles makes a replica the primary: the only place where that happens.
// A change that was made already is success. Fails with roles.stale, which the
// workflow answers by reading the roles again.
func (r *Roles) ChangeRoles(ctx context.Context, in roles.RoleChange) (*roles.AgentRoles, error) {
	return r.Store.ChangeRoles(ctx, in)
}

// RemoveAgentInput is the input of RemoveAgent.
type RemoveAgentInput struct {
	AgentID string `json:"agent_id"`
	By      string `json:"by"`
}

// Removed says what a removed agent leaves to be ended.
type Removed struct {
	Set       *roles.AgentRoles `json:"set"`
	Replicas  []string          `json:"replicas"`  // whose workflows must let go
	Instances []string          `json:"instances"` // launched by us and no longer needed
}

// RemoveAgent marks the agent deleted and its replicas retiring, and answers what
// is left to terminate. Instances that we did not launch are left alone.
func (r *Roles) RemoveAgent(ctx context.Context, in RemoveAgentInput) (*Removed, error) {
	return r.Store.Remove(ctx, in.AgentID, in.By)
}
