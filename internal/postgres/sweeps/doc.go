// Package sweeps finds what a sweep has to look at: rows whose workflow does not run,
// instances that belong to no replica, agents that are silent, templates and permissions
// that were read too long ago. It writes roles through the stores of package postgres.
package sweeps
