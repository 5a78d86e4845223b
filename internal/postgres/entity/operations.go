package entity

import (
	"time"
)

// Operation is one run of a workflow that changes an agent, as it is projected for lists and pages.
type Operation struct {
	ID            string     `gorm:"column:id;primaryKey"`
	Kind          string     `gorm:"column:kind"`
	ClientID      string     `gorm:"column:client_id"`
	AgentID       string     `gorm:"column:agent_id"`
	State         string     `gorm:"column:state"`
	Phase         string     `gorm:"column:phase"`
	Summary       string     `gorm:"column:summary"`
	Cause         string     `gorm:"column:cause"`
	InstanceID    string     `gorm:"column:instance_id"`
	NewInstanceID string     `gorm:"column:new_instance_id"`
	ReplicaID     string     `gorm:"column:replica_id"`
	Deadline      *time.Time `gorm:"column:deadline"`
	ErrorCode     *string    `gorm:"column:error_code"`
	Error         *string    `gorm:"column:error"`
	StartedAt     time.Time  `gorm:"column:started_at"`
	UpdatedAt     time.Time  `gorm:"column:updated_at;autoUpdateTime:false"`
	EndedAt       *time.Time `gorm:"column:ended_at"`
	TendAt        *time.Time `gorm:"column:tend_at"`
	TraceID       string     `gorm:"column:trace_id"`
	RetryOf       *string    `gorm:"column:retry_of"`
	Tries         int        `gorm:"column:tries;default:1"`
	NextTryAt     *time.Time `gorm:"column:next_try_at"`
}

// TableName names the table.
func (Operation) TableName() string { return "operations" }

// OperationStep is one line of the timeline of an operation.
type OperationStep struct {
	OperationID string    `gorm:"column:operation_id;primaryKey"`
	RunID       string    `gorm:"column:run_id;primaryKey"`
	Seq         int       `gorm:"column:seq;primaryKey"`
	Name        string    `gorm:"column:name"`
	Status      string    `gorm:"column:status"`
	Detail      string    `gorm:"column:detail"`
	SecondsLeft *float64  `gorm:"column:seconds_left"`
	At          time.Time `gorm:"column:at"`
}

// TableName names the table.
func (OperationStep) TableName() string { return "operation_steps" }
