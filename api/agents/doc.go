// Package agents serves what machines call: registration, heartbeats, price reports,
// commands and their reports, replicas, termination notices and decisions.
package agents
