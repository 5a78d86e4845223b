// Package activities does the work that workflows order: it writes to Postgres, calls
// EC2 and signals other workflows. Temporal may run an activity more than once, so each
// method has one effect however often it runs, and its comment says why. Method names
// are unique over all structs, because they are the activity types.
package activities
