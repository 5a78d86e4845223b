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

// MoveCost is what a change of the primary costs and changes.
type MoveCost struct {
	OldHourly     *float64 // USD per hour of the primary before, when it was launched; the latest one where that is not known
	NewHourly     *float64 // likewise of the one after
	DoubleSeconds float64  // that both ran because of the operation
	DoubleCost    *float64 // USD that the second of them cost meanwhile
}

// MoveCostOf reads what the change of primary that an operation made cost. No row: it made none.
// Before the change the new instance is the one that is paid beside the primary, after it the old one.
func (v *Views) MoveCostOf(ctx context.Context, agentID, operationID string) ([]MoveCost, error) {
	return pg.QueryRows[MoveCost](ctx, v.DB, `
		WITH moved AS (
			SELECT c.changed_at,
				CASE
					WHEN a.mode = 'ondemand' THEN coalesce(a.ondemand_price, la.price)
					ELSE coalesce(a.spot_price, pa.price)
				END::float8 AS old_hourly,
				CASE
					WHEN b.mode = 'ondemand' THEN coalesce(b.ondemand_price, lb.price)
					ELSE coalesce(b.spot_price, pb.price)
				END::float8 AS new_hourly,
				greatest(b.installed_at, o.started_at) AS both_from,
				least(coalesce(a.terminated_at, 'infinity'), coalesce(o.ended_at, clock_timestamp())) AS both_until
			FROM role_changes c
			JOIN operations o ON o.id = c.operation_id
			JOIN instances a ON a.id = c.old_id
			JOIN instances b ON b.id = c.new_id
			LEFT JOIN pool_prices pa ON pa.pool_id = a.pool_id
			LEFT JOIN pool_prices pb ON pb.pool_id = b.pool_id
			LEFT JOIN on_demand_prices la ON la.region = a.region AND la.instance_type = a.instance_type
			LEFT JOIN on_demand_prices lb ON lb.region = b.region AND lb.instance_type = b.instance_type
			WHERE c.agent_id = $1
			  AND c.operation_id = $2
			ORDER BY c.epoch
			LIMIT 1),
		spans AS (
			SELECT old_hourly, new_hourly,
				greatest(extract(epoch FROM least(changed_at, both_until) - both_from), 0)::float8 AS before,
				greatest(extract(epoch FROM both_until - greatest(changed_at, both_from)), 0)::float8 AS after
			FROM moved)
		SELECT old_hourly, new_hourly, before + after AS double_seconds,
			(before * new_hourly + after * old_hourly) / 3600 AS double_cost
		FROM spans`, agentID, operationID)
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
