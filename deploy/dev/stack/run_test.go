package stack_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"spotkeeper/deploy/dev/stack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// journal is a Progress that keeps the order of events.
type journal struct{ events []string }

func (j *journal) Starting(part string)                 { j.events = append(j.events, "starting "+part) }
func (j *journal) Started(part string, _ time.Duration) { j.events = append(j.events, "started "+part) }
func (j *journal) Stopped(part string, _ time.Duration, err error) {
	event := "stopped " + part
	if err != nil {
		event += ": " + err.Error()
	}
	j.events = append(j.events, event)
}

type fake struct {
	name      string
	startErr  error
	stopErr   error
	failed    chan error
	stopAlive bool // the context of Stop was still good
}

func newFake(name string) *fake { return &fake{name: name, failed: make(chan error, 1)} }

func (f *fake) Name() string                { return f.name }
func (f *fake) Start(context.Context) error { return f.startErr }
func (f *fake) Failed() <-chan error        { return f.failed }
func (f *fake) Stop(ctx context.Context) error {
	f.stopAlive = ctx.Err() == nil
	return f.stopErr
}

func TestPartsStopInReverse(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	seen, a, b := &journal{}, newFake("a"), newFake("b")

	err := stack.Run(ctx, []stack.Part{a, b}, seen, interrupt)

	require.NoError(t, err)
	require.Equal(t, []string{"starting a", "started a", "starting b", "started b", "stopped b", "stopped a"},
		seen.events)
	require.True(t, a.stopAlive, "an interrupt leaves the parts time to stop")
}

func TestAFailedStartStopsWhatRan(t *testing.T) {
	t.Parallel()
	seen, cause := &journal{}, errors.New("no room")

	err := stack.Run(t.Context(), []stack.Part{newFake("a"), &fake{
		name:     "b",
		startErr: cause,
		failed:   make(chan error),
	}, newFake("c")}, seen,
		func() { require.Fail(t, "it was never ready") })

	require.ErrorIs(t, err, cause)
	require.ErrorContains(t, err, "b did not start")
	require.Equal(t, []string{"starting a", "started a", "starting b", "stopped a"}, seen.events)
}

func TestAnInterruptDuringTheBootIsNotAnError(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()

	err := stack.Run(ctx, []stack.Part{&fake{
		name:     "a",
		startErr: ctx.Err(),
		failed:   make(chan error),
	}}, &journal{}, func() {})

	require.NoError(t, err)
}

func TestOnePartsEndStopsTheRestWithItsReason(t *testing.T) {
	t.Parallel()
	seen, cause := &journal{}, errors.New("it broke")
	broken := newFake("b")

	err := stack.Run(t.Context(), []stack.Part{newFake("a"), broken, newFake("c")},
		seen, func() { broken.failed <- cause })

	require.ErrorIs(t, err, cause)
	require.ErrorContains(t, err, "b ended")
	require.Equal(t, []string{"stopped c", "stopped b", "stopped a"}, seen.events[6:])
}

func TestAPartThatStopsBadlyDoesNotKeepTheOthersFromStopping(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	seen, cause := &journal{}, errors.New("stuck")

	err := stack.Run(ctx, []stack.Part{newFake("a"), &fake{
		name:    "b",
		stopErr: cause,
		failed:  make(chan error),
	}}, seen, interrupt)

	require.ErrorIs(t, err, cause)
	require.Equal(t, []string{"stopped b: stuck", "stopped a"}, seen.events[4:])
}

func TestAStepThatIsOverIsNotStopped(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	seen := &journal{}

	err := stack.Run(ctx, []stack.Part{newFake("a"), &fake{
		name:    "step",
		stopErr: errors.New("not a part to stop"),
	}}, seen, interrupt)

	require.NoError(t, err)
	require.Equal(t, []string{"stopped a"}, seen.events[4:])
}
