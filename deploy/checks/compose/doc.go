// Package compose checks deploy/compose: the project as Compose's own library reads it, and
// the roles of its database on a real Postgres.
package compose
