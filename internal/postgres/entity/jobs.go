package entity

import (
	"encoding/json"
	"time"
)

// JobRun is one run of a scheduled job.
type JobRun struct {
	Job       string          `gorm:"column:job;primaryKey"`
	Period    time.Time       `gorm:"column:period;primaryKey"`
	State     string          `gorm:"column:state"`
	Counts    json.RawMessage `gorm:"column:counts"`
	Error     *string         `gorm:"column:error"`
	Attempts  int             `gorm:"column:attempts"`
	StartedAt time.Time       `gorm:"column:started_at"`
	EndedAt   *time.Time      `gorm:"column:ended_at"`
}

// TableName names the table.
func (JobRun) TableName() string { return "job_runs" }
