// Package agents stores what agents report about themselves, whose their instances are,
// and what people set for them.
package agents
