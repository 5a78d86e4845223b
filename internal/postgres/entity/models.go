package entity

import (
	"time"
)

// ModelSession is one upload of models or of an engine.
type ModelSession struct {
	ID          string      `gorm:"column:id;primaryKey"`
	Kind        string      `gorm:"column:kind"`
	State       string      `gorm:"column:state"`
	IsLive      bool        `gorm:"column:is_live"`
	IsFallback  bool        `gorm:"column:is_fallback"`
	Runner      string      `gorm:"column:runner"`
	Version     string      `gorm:"column:version"`
	UploadedBy  string      `gorm:"column:uploaded_by"`
	ErrorCode   string      `gorm:"column:error_code"`
	Error       string      `gorm:"column:error"`
	CreatedAt   time.Time   `gorm:"column:created_at;default:clock_timestamp()"`
	ActivatedAt *time.Time  `gorm:"column:activated_at"`
	Files       []ModelFile `gorm:"foreignKey:SessionID"`
}

// TableName names the table.
func (ModelSession) TableName() string { return "model_sessions" }

// ModelFile is one file of an upload; its content is with the artifacts.
type ModelFile struct {
	SessionID string `gorm:"column:session_id;primaryKey"`
	Position  int    `gorm:"column:position"`
	Name      string `gorm:"column:name;primaryKey"`
	Digest    string `gorm:"column:digest"`
	Size      int64  `gorm:"column:size"`
}

// TableName names the table.
func (ModelFile) TableName() string { return "model_session_files" }
