// Package activities does the work that workflows order: in Postgres, at EC2, and
// by telling other workflows. Temporal may run any of it again, so each method
// has one effect however often it runs, and says why. Method names are unique
// over all structs, because they are the activity types.
package activities
