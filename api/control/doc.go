// Package control serves what people change: settings, clients, switches, operations,
// pauses, schedules, models, rollouts and notification sinks.
package control
