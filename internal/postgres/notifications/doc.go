// Package notifications stores what clients are notified of, the sinks that they have it
// sent to, and the deliveries that are due.
package notifications
