package entity

import (
	"time"
)

// Notification is one sentence for the people of a client, or for operators when it has no client.
type Notification struct {
	ID        string    `gorm:"column:id;primaryKey;default:gen_random_uuid()"`
	ClientID  *string   `gorm:"column:client_id"`
	Message   string    `gorm:"column:message"`
	Severity  string    `gorm:"column:severity"`
	IsRead    bool      `gorm:"column:is_read"`
	DedupKey  *string   `gorm:"column:dedup_key"`
	CreatedAt time.Time `gorm:"column:created_at;default:now()"`

	Occurrences int       `gorm:"column:occurrences;default:1"`
	LastAt      time.Time `gorm:"column:last_at;default:clock_timestamp()"`
}

// TableName names the table.
func (Notification) TableName() string { return "notifications" }

// Sink is a receiver of the notifications of a client.
type Sink struct {
	ID              string     `gorm:"column:id;primaryKey;default:gen_random_uuid()"`
	ClientID        string     `gorm:"column:client_id"`
	Kind            string     `gorm:"column:kind"`
	URL             string     `gorm:"column:url"`
	SecretSealed    []byte     `gorm:"column:secret_sealed"`
	MinSeverity     string     `gorm:"column:min_severity"`
	Failures        int        `gorm:"column:failures"`
	RetryAfter      *time.Time `gorm:"column:retry_after"`
	LastError       *string    `gorm:"column:last_error"`
	LastFailedAt    *time.Time `gorm:"column:last_failed_at"`
	LastDeliveredAt *time.Time `gorm:"column:last_delivered_at"`
	CreatedBy       string     `gorm:"column:created_by"`
	CreatedAt       time.Time  `gorm:"column:created_at;default:now()"`
	TriedAt         *time.Time `gorm:"column:tried_at"`

	SecretBeforeSealed []byte     `gorm:"column:secret_before_sealed"` // signs as well, until
	SecretBeforeUntil  *time.Time `gorm:"column:secret_before_until"`
}

// TableName names the table.
func (Sink) TableName() string { return "notification_sinks" }
