package views

import (
	"context"
	"time"

	"gorm.io/gorm"

	"spotkeeper/internal/postgres/entity"
	"spotkeeper/internal/postgres/pg"
)

// LaunchView is one attempt to launch an instance for an operation.
type LaunchView struct {
	ReplicaID  string
	PoolID     string
	Mode       string
	State      string // requested, launched, failed
	InstanceID *string
	ErrorCode  *string
	Error      *string
	CreatedAt  time.Time
	EndedAt    *time.Time
}

// Launches reads the attempts to launch for a replica, in their order.
func (v *Views) Launches(ctx context.Context, replicaIDs []string) ([]LaunchView, error) {
	return pg.QueryRows[LaunchView](ctx, v.DB, `
		SELECT replica_id, pool_id, mode, state, instance_id, error_code, error, created_at, ended_at
		FROM launches
		WHERE replica_id = ANY ($1)
		ORDER BY created_at, pool_id
		LIMIT 200`, replicaIDs)
}

// RoleChangeView is one change of an agent's primary.
type RoleChangeView struct {
	Epoch       int64
	OldID       string
	NewID       string
	ReplicaID   string
	Cause       string
	OperationID string
	ChangedAt   time.Time
}

// RoleChanges reads an agent's changes of primary, newest first.
func (v *Views) RoleChanges(ctx context.Context, agentID string, limit int) ([]RoleChangeView, error) {
	return pg.QueryRows[RoleChangeView](ctx, v.DB, `
		SELECT epoch, old_id, new_id, replica_id, cause, operation_id, changed_at
		FROM role_changes
		WHERE agent_id = $1
		ORDER BY epoch DESC
		LIMIT $2`, agentID, limit)
}

// RoleChangeOf reads the change of primary that an operation made, if it made one.
func (v *Views) RoleChangeOf(ctx context.Context, agentID, operationID string) ([]RoleChangeView, error) {
	return pg.QueryRows[RoleChangeView](ctx, v.DB, `
		SELECT epoch, old_id, new_id, replica_id, cause, operation_id, changed_at
		FROM role_changes
		WHERE agent_id = $1
		  AND operation_id = $2
		ORDER BY epoch`, agentID, operationID)
}

// RelatedOperations lists the other operations of an agent that ran in a span of time,
// oldest first.
func (v *Views) RelatedOperations(
	ctx context.Context,
	agentID, except string,
	from, until time.Time,
) ([]OperationView, error) {
	return pg.Find[OperationView](ctx, gorm.G[entity.Operation](v.DB.Gorm).
		Where("agent_id = ? AND id <> ?", agentID, except).
		Scopes(firstTries).
		Where("started_at <= ? AND coalesce(ended_at, 'infinity') >= ?", until, from).
		Order("started_at, id").
		Limit(50))
}

// StepsOf reads the timelines of operations, by operation and time.
func (v *Views) StepsOf(ctx context.Context, ids []string) ([]OperationStep, error) {
	return pg.QueryRows[OperationStep](ctx, v.DB, `
		SELECT operation_id, seq, name, status, detail,
			nullif(nullif(seconds_left, -99999), 99999)::float8 AS seconds_left, at
		FROM operation_steps
		WHERE operation_id = ANY ($1)
		ORDER BY operation_id, at, seq
		LIMIT 2000`, ids)
}

// OperationStep is a line of the timeline of the operation it names.
type OperationStep struct {
	OperationID string
	Seq         int
	Name        string
	Status      string
	Detail      string
	SecondsLeft *float64
	At          time.Time
}
