package python

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/engine"
)

// call asks the child and waits its turn. Whatever goes wrong, a later call
// finds a fresh child. Fails with engine.unavailable or engine.bad_answer.
func (e *Engine) call(ctx context.Context, q request) (answer, error) {
	waiting, cancel := context.WithTimeout(ctx, e.o.CallTimeout)
	defer cancel()
	if err := e.enter(waiting); err != nil {
		return answer{}, err
	}
	defer func() { e.turn <- struct{}{} }()
	// The time in the queue is not the child's, and a caller who gives up does
	// not cost it its life.
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.o.CallTimeout)
	defer cancel()
	a, err := e.child.ask(asking, q)
	if err != nil {
		if !e.child.alive() {
			e.judgeDeath()
		}
		e.drop()
		return answer{}, err
	}
	if a.Error != "" {
		return answer{}, engine.Unavailable.New("the Python engine failed: %s", a.Error)
	}
	e.failures = 0
	return a, nil
}

// enter takes the turn with a child that lives. When there is none it has one
// started, which may take longer than this call may wait.
func (e *Engine) enter(ctx context.Context) error {
	for started := false; ; started = true {
		select {
		case <-e.turn:
		case <-ctx.Done():
			return engine.Unavailable.New("the Python engine is busy or being started again")
		}
		if e.child != nil && e.child.alive() {
			return nil
		}
		e.drop()
		switch {
		case e.unfit.Load() != nil:
			e.turn <- struct{}{}
			return e.unfit.Load()
		case e.running.Err() != nil:
			e.turn <- struct{}{}
			return engine.Unavailable.New("the Python engine was unloaded")
		case started || time.Now().Before(e.notUntil):
			err := engine.Unavailable.New(
				"the Python engine has stopped %d times in a row and is started again after %s", e.failures,
				e.notUntil.UTC().Format(time.TimeOnly))
			e.turn <- struct{}{}
			return err
		}
		go e.restart() // it has the turn now
	}
}

// restart starts a child and gives the turn back. Close ends it early.
func (e *Engine) restart() {
	defer func() { e.turn <- struct{}{} }()
	c, _, err := e.start(e.running)
	if err != nil {
		e.o.Log.Warn("python engine could not be started again", "error", err)
		e.pause()
		return
	}
	e.child, e.started = c, time.Now()
}

// A child that dies soon after it was loaded was killed by what was loaded.
const (
	soon       = time.Minute
	mostDeaths = 2
)

// judgeDeath counts a child that died by itself, and puts the file into quarantine when
// it has killed too many. One that was stopped because it was slow is not counted: the
// machine may have been slow.
func (e *Engine) judgeDeath() {
	if time.Since(e.started) > soon {
		e.deaths = 0
		return
	}
	if e.deaths++; e.deaths >= mostDeaths {
		e.unfit.Store(Quarantined.New("%s is in quarantine: it ended its process %d times within a minute of loading. "+
			"The rules decide until another session is rolled out.", e.name, e.deaths))
		e.o.Log.Error("an uploaded engine is in quarantine", "file", e.name, "file_version", e.version)
	}
}

// drop kills the child, if there is one, and counts it.
func (e *Engine) drop() {
	if e.child == nil {
		return
	}
	e.child.kill()
	e.child = nil
	e.pause()
}

// The first death is free; from the second on the pause doubles.
const firstPause, longestPause = 100 * time.Millisecond, time.Minute

func (e *Engine) pause() {
	e.failures++
	if e.failures > 1 {
		e.notUntil = time.Now().Add(min(firstPause<<min(e.failures-2, 12), longestPause))
	}
}

// start makes a child and loads the file. Fails with python.off or
// python.bad_engine.
func (e *Engine) start(ctx context.Context) (*child, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, e.o.LoadTimeout)
	defer cancel()
	c, err := spawn(ctx, e.o)
	if err != nil {
		return nil, false, err
	}
	a, err := c.ask(ctx, request{Load: e.name, Data: e.data})
	if err == nil && a.Error == "" {
		return c, a.Decides, nil
	}
	c.kill()
	if err != nil {
		return nil, false, BadEngine.Wrap(err, "%s could not be loaded", e.name)
	}
	return nil, false, BadEngine.New("%s could not be loaded: %s", e.name, a.Error)
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:6])
}

// unavailable says why a call ended, and what the child said last.
func unavailable(why, said string) *fault.Error {
	if said != "" {
		return engine.Unavailable.New("the Python engine %s; its last words: %s", why, said)
	}
	return engine.Unavailable.New("the Python engine %s", why)
}
