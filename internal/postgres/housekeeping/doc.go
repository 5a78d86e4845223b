// Package housekeeping removes old rows, keeps the partitions of coming days, computes the
// ledger of savings, and records the runs of scheduled jobs.
package housekeeping
