package fault_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/fault"
)

var (
	missing = fault.Define("test.missing", fault.NotFound)
	busy    = fault.Define("test.busy", fault.Unavailable)
)

func TestACodeSurvivesWrapping(t *testing.T) {
	t.Parallel()

	cause := errors.New("connection refused")
	err := fmt.Errorf("reading: %w", busy.Wrap(cause, "the store is away"))
	require.Equal(t, busy, fault.CodeOf(err))
	require.Equal(t, fault.Unavailable, fault.KindOf(err))
	require.ErrorIs(t, err, cause)
	require.True(t, fault.Is(err, busy))
	require.False(t, fault.Is(err, missing))
	require.False(t, fault.Is(nil, missing))
}

func TestWhatIsNotClassifiedIsInternal(t *testing.T) {
	t.Parallel()

	err := errors.New("odd")
	require.Empty(t, fault.CodeOf(err))
	require.Equal(t, fault.Internal, fault.KindOf(err))
	require.True(t, fault.KindOf(err).Retryable())
}

func TestTheOuterCodeCounts(t *testing.T) {
	t.Parallel()

	err := missing.Wrap(busy.New("inner"), "outer")
	require.Equal(t, missing, fault.CodeOf(err))
	require.Equal(t, "outer: inner", err.Error())
}

func TestOnlyPassingTroubleIsRetried(t *testing.T) {
	t.Parallel()

	for kind, retry := range map[fault.Kind]bool{
		fault.Internal: true, fault.Unavailable: true,
		fault.Exhausted: false, fault.Invalid: false, fault.Unauthorized: false, fault.Forbidden: false,
		fault.NotFound: false, fault.Conflict: false, fault.TooLarge: false, fault.Limited: false,
	} {
		require.Equal(t, retry, kind.Retryable(), "%d", kind)
	}
}

func TestADetailTravelsWithItsFault(t *testing.T) {
	t.Parallel()

	err := missing.New("no %s", "door").With("which", "front")
	require.Equal(t, map[string]any{"which": "front"}, err.Details)
	require.Equal(t, "no door", err.Error())
}

func TestACodeHasOneMeaning(t *testing.T) {
	t.Parallel()

	require.Panics(t, func() { fault.Define("test.busy", fault.Conflict) })
	require.Contains(t, fault.Codes(), busy)
	require.Equal(t, fault.NotFound, missing.Kind())
}
