package main

import (
	"fmt"
	"io"
	"time"
)

// progress prints a line for each part: people watch it boot.
type progress struct{ out io.Writer }

func (p progress) say(format string, args ...any) {
	_, _ = fmt.Fprintf(p.out, format+"\n", args...) // A closed terminal is not an error.
}

// Starting says nothing: the line comes with the outcome, a second later.
func (progress) Starting(string) {}

// Started implements stack.Progress.
func (p progress) Started(part string, took time.Duration) {
	p.say("  %-10s ready after %s", part, short(took))
}

// Stopped implements stack.Progress.
func (p progress) Stopped(part string, took time.Duration, err error) {
	if err != nil {
		p.say("  %-10s stopped after %s: %v", part, short(took), err)
		return
	}
	p.say("  %-10s stopped after %s", part, short(took))
}

func short(d time.Duration) string { return d.Round(10 * time.Millisecond).String() }
