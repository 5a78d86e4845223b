package views

import (
	"context"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/postgres/entity"
	"spotkeeper/internal/postgres/pg"
)

// UnknownOperation means that no such operation was projected, or it is not yours.
var UnknownOperation = fault.Define("operation.unknown", fault.NotFound)

// OperationView is one run of a workflow that changes an agent, as projected.
type OperationView struct {
	ID            string
	Kind          string
	ClientID      string
	AgentID       string
	State         string
	Phase         string
	Summary       string
	Cause         string
	InstanceID    string
	NewInstanceID string
	ReplicaID     string
	Deadline      *time.Time
	ErrorCode     *string
	Error         *string
	StartedAt     time.Time
	UpdatedAt     time.Time
	EndedAt       *time.Time
	Tries         int        // with those of the operations that try it again
	NextTryAt     *time.Time // of the same
	TraceID       string
}

// StepView is one line of an operation's timeline.
type StepView struct {
	Seq         int
	Name        string
	Status      string
	Detail      string
	SecondsLeft *float64 // until the deadline of the notice; null without one
	At          time.Time
}

// OperationFilter chooses operations. Empty members do not filter.
type OperationFilter struct {
	ClientID, AgentID, Kind, State, Cause string
	Page                                  pg.Page
}

// firstTries leaves out the operations that try again what failed before and have come to
// no instance: their first operation counts them.
func firstTries(s *gorm.Statement) {
	s.AddClause(clause.Where{Exprs: []clause.Expression{clause.Expr{
		SQL: "(retry_of IS NULL OR new_instance_id <> '' OR state = 'succeeded')",
	}}})
}

// OperationWait is what keeps a running operation waiting.
type OperationWait struct {
	ID        string
	Reason    string
	Tries     int
	NextTryAt *time.Time
}

// OperationWaits says of those of the operations that wait for a replacement why the last
// launch failed, how many did, and when the next is made.
func (v *Views) OperationWaits(ctx context.Context, ids []string) ([]OperationWait, error) {
	return pg.QueryRows[OperationWait](ctx, v.DB, `
		SELECT o.id, coalesce(f.reason, 'no reason given') AS reason, f.tries, n.not_before AS next_try_at
		FROM operations o
		CROSS JOIN LATERAL (
			SELECT count(*) AS tries, (array_agg(coalesce(r.error, r.error_code) ORDER BY r.created_at DESC))[1] AS reason
			FROM replicas r
			WHERE r.agent_id = o.agent_id
			  AND r.made_for = o.instance_id
			  AND r.kind IN ('rebalance', 'termination')
			  AND r.state = 'failed') f
		LEFT JOIN LATERAL (
			SELECT r.not_before
			FROM replicas r
			WHERE r.agent_id = o.agent_id
			  AND r.made_for = o.instance_id
			  AND r.state = 'requested'
			  AND r.not_before > clock_timestamp()
			ORDER BY r.not_before
			LIMIT 1) n ON true
		WHERE o.id = ANY ($1)
		  AND o.kind = 'termination'
		  AND o.state = 'running'
		  AND o.new_instance_id = ''
		  AND f.tries > 0`, ids)
}

// AgentNames reads the logical ids of agents, by their ids.
func (v *Views) AgentNames(ctx context.Context, ids []string) (map[string]string, error) {
	found, err := pg.QueryRows[struct{ ID, Name string }](ctx, v.DB, `
		SELECT id, logical_agent_id AS name
		FROM agents
		WHERE id = ANY ($1)`, ids)
	out := make(map[string]string, len(found))
	for _, x := range found {
		out[x.ID] = x.Name
	}
	return out, err
}

// Operations lists operations, newest first, one more than the limit when there
// are more.
func (v *Views) Operations(ctx context.Context, f OperationFilter) ([]OperationView, error) {
	return pg.Find[OperationView](ctx, gorm.G[entity.Operation](v.DB.Gorm).Scopes(
		pg.Tenant(f.ClientID),
		pg.Matching("agent_id", f.AgentID),
		pg.Matching("kind", f.Kind),
		pg.Matching("state", f.State),
		pg.Matching("cause", f.Cause),
		firstTries,
		pg.NewestFirst(f.Page, "started_at"),
	))
}

// Operation reads one operation. Fails with operation.unknown.
func (v *Views) Operation(ctx context.Context, clientID, id string) (*OperationView, error) {
	found, err := pg.Find[OperationView](ctx,
		gorm.G[entity.Operation](v.DB.Gorm).Scopes(pg.Tenant(clientID)).Where("id = ?", id))
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, UnknownOperation.New("Operation not found")
	}
	return &found[0], nil
}

// OperationSteps reads an operation's timeline, in order.
func (v *Views) OperationSteps(ctx context.Context, id string) ([]StepView, error) {
	return pg.Find[StepView](ctx, gorm.G[entity.OperationStep](v.DB.Gorm).
		Where("operation_id = ?", id).Order("at, seq").Limit(1000))
}
