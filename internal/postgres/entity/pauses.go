package entity

import (
	"time"
)

// Pause is what stops voluntary moves of a subject.
type Pause struct {
	Scope      string    `gorm:"column:scope;primaryKey"`
	Subject    string    `gorm:"column:subject;primaryKey"`
	ByOperator bool      `gorm:"column:by_operator;primaryKey"`
	ClientID   *string   `gorm:"column:client_id"`
	AgentID    *string   `gorm:"column:agent_id"`
	Until      time.Time `gorm:"column:until"`
	Reason     string    `gorm:"column:reason"`
	CreatedBy  string    `gorm:"column:created_by"`
	CreatedAt  time.Time `gorm:"column:created_at"`
}

// TableName names the table.
func (Pause) TableName() string { return "pauses" }
