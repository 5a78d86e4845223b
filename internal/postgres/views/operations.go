package views

import (
	"context"
	"time"

	"gorm.io/gorm"

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
	ClientID, AgentID, Kind, State string
	Page                           pg.Page
}

// Operations lists operations, newest first, one more than the limit when there
// are more.
func (v *Views) Operations(ctx context.Context, f OperationFilter) ([]OperationView, error) {
	return pg.Find[OperationView](ctx, gorm.G[entity.Operation](v.DB.Gorm).Scopes(
		pg.Tenant(f.ClientID),
		pg.Matching("agent_id", f.AgentID),
		pg.Matching("kind", f.Kind),
		pg.Matching("state", f.State),
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
