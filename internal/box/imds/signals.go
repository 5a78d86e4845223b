package imds

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Paths of the service that announce something.
const (
	InstanceAction = "meta-data/spot/instance-action"
	Rebalance      = "meta-data/events/recommendations/rebalance"
	Maintenance    = "meta-data/events/maintenance/scheduled"
)

// Action is an interruption notice of a spot instance. AWS posts it about two minutes
// ahead, as a best effort; a hibernation begins at once.
type Action struct {
	Action string    `json:"action"` // terminate, stop or hibernate
	Time   time.Time `json:"time"`   // when it happens
}

// ParseAction reads the text of InstanceAction. A text without a time of day is an error;
// the caller still learns that the instance is to end.
func ParseAction(text string) (Action, error) {
	var a Action
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return a, fmt.Errorf("read the interruption notice %.200q: %w", text, err)
	}
	if a.Action == "" || a.Time.IsZero() {
		return a, fmt.Errorf("the interruption notice %.200q names no action or no time", text)
	}
	return a, nil
}

// Left is how long after its arrival the moment at comes. The service's own clock is
// used where the answer carries it, so that a wrong clock on the instance changes nothing.
func (a Answer) Left(at time.Time) time.Duration {
	if !a.Date.IsZero() {
		return at.Sub(a.Date)
	}
	return at.Sub(a.At)
}

// Watch reads one path every poll until ctx ends, and calls found with each answer that
// says something, and absent when it says nothing, which is 404 as a rule. Errors are
// followed by growing pauses of one second to maxPause. The outcome of every read is
// passed to failed, nil when it is no error. Each path has a Watch of its own, so that
// none delays another.
func (c *Client) Watch(
	ctx context.Context,
	path string,
	poll time.Duration,
	found func(Answer),
	absent func(),
	failed func(error),
) {
	retry := min(poll, time.Second)
	for {
		pause := poll
		answer, err := c.Get(ctx, path)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && answer.Text != "":
			retry = min(poll, time.Second)
			failed(nil)
			found(answer)
		case err == nil || errors.Is(err, ErrAbsent):
			retry = min(poll, time.Second)
			failed(nil)
			absent()
		default:
			failed(err)
			pause, retry = retry, min(2*retry, maxPause)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// maxPause keeps a path that fails under watch: a notice comes two minutes ahead.
const maxPause = 15 * time.Second
