//go:build !linux

package sandbox

import "os/exec"

// Command fails with sandbox.refused: the sandbox is made of parts of Linux.
func Command(Program) (*exec.Cmd, error) {
	return nil, Refused.New("There is a sandbox for uploaded code on Linux only.")
}

// Start starts a command of Command.
func Start(cmd *exec.Cmd) error { return cmd.Start() }

// Words say what holds a program that was started.
func Words() string { return "nothing" }

// Hide keeps other processes of our user from reading this one's memory and environment.
func Hide() error { return nil }
