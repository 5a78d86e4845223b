// Package metrics reads the figures that the processes export as gauges and counters.
package metrics
