//go:build !linux

// Package confined runs a test's binary again as another process; on Linux only.
package confined

// Become does nothing.
func Become() {}
