package entity

import (
	"encoding/json"
	"time"
)

// Event is one entry of the audit log.
type Event struct {
	ID        int64           `gorm:"column:id;primaryKey"`
	ClientID  *string         `gorm:"column:client_id"`
	AgentID   *string         `gorm:"column:agent_id"`
	Type      string          `gorm:"column:type"`
	Severity  string          `gorm:"column:severity"`
	Actor     string          `gorm:"column:actor"`
	Message   string          `gorm:"column:message"`
	Metadata  json.RawMessage `gorm:"column:metadata"`
	DedupKey  *string         `gorm:"column:dedup_key"`
	CreatedAt time.Time       `gorm:"column:created_at;default:now()"`

	// Of the request that it came with; empty when the product acts by itself.
	ActorKind string
	ActorID   string
	ActorRole string
	TokenID   string
	Address   string
	RequestID string
}

// TableName names the table.
func (Event) TableName() string { return "events" }
