package entity

import (
	"time"
)

// EndedSession is a session of an operator that was ended before its time.
type EndedSession struct {
	ID        string    `gorm:"column:id;primaryKey"`
	ExpiresAt time.Time `gorm:"column:expires_at"`
}

// TableName names the table.
func (EndedSession) TableName() string { return "ended_sessions" }
