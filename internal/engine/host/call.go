package host

import (
	"context"
	"errors"
	"slices"
	"time"

	"spotkeeper/internal/engine"
)

// Call asks the child and waits its turn. Whatever goes wrong, a later call
// finds a fresh child. Fails with engine.unavailable or engine.bad_answer.
func (h *Host) Call(ctx context.Context, q Request) (Answer, error) {
	waiting, cancel := context.WithTimeout(ctx, h.o.CallTimeout)
	defer cancel()
	if err := h.enter(waiting); err != nil {
		return Answer{}, err
	}
	defer func() { h.turn <- struct{}{} }()
	// The time in the queue is not the child's, and a caller who gives up does
	// not cost it its life.
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.o.CallTimeout)
	defer cancel()
	a, err := h.child.ask(asking, q)
	if err != nil {
		if !h.child.alive() {
			h.judgeDeath()
		}
		h.drop()
		return Answer{}, err
	}
	if a.Error != "" {
		return Answer{}, engine.Unavailable.New("the %s failed: %s", h.kind.What, a.Error)
	}
	h.failures = 0
	return a, nil
}

// enter waits for the turn and for a child that runs. When there is none, enter has one
// started, which may take longer than this call can wait.
func (h *Host) enter(ctx context.Context) error {
	for started := false; ; started = true {
		select {
		case <-h.turn:
		case <-ctx.Done():
			return engine.Unavailable.New("the %s is busy or being started again", h.kind.What)
		}
		if h.child != nil && h.child.alive() {
			return nil
		}
		if h.child != nil { // it ended between two calls
			h.judgeDeath()
		}
		h.drop()
		switch {
		case h.unfit.Load() != nil:
			h.turn <- struct{}{}
			return h.unfit.Load()
		case h.running.Err() != nil:
			h.turn <- struct{}{}
			return engine.Unavailable.New("the %s was unloaded", h.kind.What)
		case started || time.Now().Before(h.notUntil):
			err := engine.Unavailable.New(
				"the %s has stopped %d times in a row and is started again after %s", h.kind.What, h.failures,
				h.notUntil.UTC().Format(time.TimeOnly))
			h.turn <- struct{}{}
			return err
		}
		go h.restart() // it has the turn now
	}
}

// restart starts a child and gives the turn back. Close ends it early.
func (h *Host) restart() {
	defer func() { h.turn <- struct{}{} }()
	c, _, err := h.start(h.running)
	if err != nil {
		h.o.Log.Warn("an uploaded engine could not be started again", "file", h.name, "error", err)
		if errors.Is(err, ErrDied) {
			h.started = time.Now()
			h.judgeDeath()
		}
		h.pause()
		return
	}
	h.child, h.started = c, time.Now()
}

// A child that dies soon after it was loaded was killed by what was loaded.
const (
	soon       = time.Minute
	mostDeaths = 2
)

// judgeDeath counts a child that died by itself, and puts the file into quarantine when
// it has killed too many. One that was stopped because it was slow is not counted: the
// machine may have been slow.
func (h *Host) judgeDeath() {
	if time.Since(h.started) > soon {
		h.deaths = 0
		return
	}
	if h.deaths++; h.deaths >= mostDeaths {
		h.unfit.Store(Quarantined.New("%s is in quarantine: it ended its process %d times within a minute of loading. "+
			"The rules decide until another session is rolled out.", h.name, h.deaths))
		h.o.Log.Error("an uploaded engine is in quarantine", "file", h.name, "file_version", h.version)
	}
}

// drop kills the child, if there is one, and counts it.
func (h *Host) drop() {
	if h.child == nil {
		return
	}
	h.child.kill()
	h.child = nil
	h.pause()
}

// The first death is free; from the second on the pause doubles.
const firstPause, longestPause = 100 * time.Millisecond, time.Minute

func (h *Host) pause() {
	h.failures++
	if h.failures > 1 {
		h.notUntil = time.Now().Add(min(firstPause<<min(h.failures-2, 12), longestPause))
	}
}

// start makes a child and loads the file. Fails with the kind's Off or Bad, or with the
// code that the child answers.
func (h *Host) start(ctx context.Context) (*child, Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, h.o.LoadTimeout)
	defer cancel()
	c, err := spawn(ctx, h.kind, h.o)
	if err != nil {
		return nil, Answer{}, err
	}
	a, err := c.ask(ctx, Request{Load: h.name, Data: h.data})
	if err == nil && a.Error == "" {
		return c, a, nil
	}
	died := err != nil && !c.alive()
	c.kill()
	switch {
	case died:
		return nil, a, h.kind.Bad.Wrap(errors.Join(ErrDied, err), "%s could not be loaded", h.name)
	case err != nil:
		return nil, a, h.kind.Bad.Wrap(err, "%s could not be loaded", h.name)
	case a.Code != "" && slices.Contains(h.kind.Answers, a.Code):
		return nil, a, a.Code.New("%s", a.Error)
	default:
		return nil, a, h.kind.Bad.New("%s could not be loaded: %s", h.name, a.Error)
	}
}
