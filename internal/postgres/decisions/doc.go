// Package decisions reads what the decision engine judges by and stores its answers. Pauses,
// blocks of pools, and placement scores are stored here, because they are part of what it
// judges by.
package decisions
