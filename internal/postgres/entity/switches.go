package entity

import (
	"time"
)

// Switch is one switch of an agent between pools or modes; prices are USD per hour.
type Switch struct {
	ID            string     `gorm:"column:id;primaryKey"`
	ClientID      string     `gorm:"column:client_id"`
	AgentID       string     `gorm:"column:agent_id"`
	OperationID   string     `gorm:"column:operation_id"`
	Trigger       string     `gorm:"column:trigger"`
	Phase         string     `gorm:"column:phase"`
	OldID         string     `gorm:"column:old_id"`
	NewID         string     `gorm:"column:new_id"`
	FromMode      string     `gorm:"column:from_mode"`
	ToMode        string     `gorm:"column:to_mode"`
	FromPool      *string    `gorm:"column:from_pool"`
	ToPool        *string    `gorm:"column:to_pool"`
	OnDemand      *float64   `gorm:"column:on_demand"`
	OldSpot       *float64   `gorm:"column:old_spot"`
	NewSpot       *float64   `gorm:"column:new_spot"`
	SavingsImpact *float64   `gorm:"column:savings_impact"`
	ErrorCode     *string    `gorm:"column:error_code"`
	InitiatedAt   time.Time  `gorm:"column:initiated_at"`
	LaunchedAt    *time.Time `gorm:"column:launched_at"`
	ReadyAt       *time.Time `gorm:"column:ready_at"`
	CutOverAt     *time.Time `gorm:"column:cut_over_at"`
	EndedAt       *time.Time `gorm:"column:ended_at"`
}

// TableName names the table.
func (Switch) TableName() string { return "switches" }
