// Package models stores decision models, their sessions and rollouts, and reads how
// they decided.
package models
