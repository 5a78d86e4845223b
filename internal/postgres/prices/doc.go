// Package prices stores what pools cost: reports, collected history, their five-minute
// buckets and hours, gaps and duplicates.
package prices
