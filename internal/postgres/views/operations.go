package views

import (
	"context"
	"time"

	"spotkeeper/internal/domain/fault"
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

const operationColumns = `id, kind, client_id, agent_id, state, phase, summary, cause, instance_id, new_instance_id, replica_id,
	deadline, error_code, error, started_at, updated_at, ended_at`

// Operations lists operations, newest first, one more than the limit when there
// are more.
func (v *Views) Operations(ctx context.Context, f OperationFilter) ([]OperationView, error) {
	at, id := f.Page.From()
	return pg.QueryRows[OperationView](ctx, v.DB, `SELECT `+operationColumns+` FROM operations
		WHERE ($1 = '' OR client_id = $1) AND ($2 = '' OR agent_id = $2) AND ($3 = '' OR kind = $3) AND ($4 = '' OR state = $4)
		  AND started_at <= $5 AND (started_at < $5 OR id > $6)
		ORDER BY started_at DESC, id LIMIT $7`, f.ClientID, f.AgentID, f.Kind, f.State, at, id, f.Page.UpTo())
}

// Operation reads one operation. Fails with operation.unknown.
func (v *Views) Operation(ctx context.Context, clientID, id string) (*OperationView, error) {
	o, err := pg.QueryRow[OperationView](ctx, v.DB, `SELECT `+operationColumns+` FROM operations WHERE id = $1 AND ($2 = '' OR client_id = $2)`, id, clientID)
	if pg.IsNoRows(err) {
		return nil, UnknownOperation.New("Operation not found")
	}
	return o, err
}

// OperationSteps reads an operation's timeline, in order.
func (v *Views) OperationSteps(ctx context.Context, id string) ([]StepView, error) {
	return pg.QueryRows[StepView](ctx, v.DB, `SELECT seq, name, status, detail, seconds_left::float8 AS seconds_left, at
		FROM operation_steps WHERE operation_id = $1 ORDER BY at, seq LIMIT 1000`, id)
}
