package entity

import (
	"time"
)

// MonthSavings is what a client paid and saved in a month, in USD.
type MonthSavings struct {
	ClientID    string    `gorm:"column:client_id;primaryKey"`
	Month       time.Time `gorm:"column:month;primaryKey"`
	Baseline    float64   `gorm:"column:baseline"`
	Actual      float64   `gorm:"column:actual"`
	Savings     float64   `gorm:"column:savings"`
	Provisional bool      `gorm:"column:provisional"`
}

// TableName names the table.
func (MonthSavings) TableName() string { return "client_savings" }
