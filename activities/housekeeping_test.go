package activities_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/fault"
)

// house records the calls that it gets.
type house struct {
	activities.HousekeepingStore
	clock   time.Time
	dropped time.Time
	expired map[string]time.Time
	broken  string // a table that cannot be dealt with
}

func (h *house) Clock(context.Context) (time.Time, error) { return h.clock, nil }

func (h *house) EnsurePartitions(context.Context, time.Time, int) (int64, error) { return 0, nil }

func (h *house) DropPartitions(_ context.Context, before time.Time) (int64, error) {
	h.dropped = before
	return 0, nil
}

func (h *house) Expire(_ context.Context, table string, before time.Time, _ func()) (int64, error) {
	if table == h.broken {
		return 0, fault.Code("postgres.unavailable").New("its lock was not there")
	}
	h.expired[table] = before
	return 0, nil
}

// TestRetention: tables are kept for their default times unless the settings differ.
func TestRetention(t *testing.T) {
	t.Parallel()

	now := time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)
	clean := func(keep map[string]time.Duration) *house {
		h := &house{clock: now, expired: map[string]time.Time{}}
		require.NoError(t, activities.CheckKeep(keep))
		_, err := (&activities.Housekeeping{
			Store: h,
			Keep:  keep,
		}).CleanUpData(t.Context())
		require.NoError(t, err)
		return h
	}
	h := clean(nil)
	require.Equal(t, now.AddDate(0, 0, -30), h.dropped)
	require.Len(t, h.expired, len(activities.DefaultKeep))
	require.Equal(t, now.AddDate(0, 0, -90), h.expired["decisions"])
	require.Equal(t, now.AddDate(0, 0, -30), h.expired["shadow_decisions"])

	h = clean(map[string]time.Duration{"price_submissions": 0, "decisions": 48 * time.Hour})
	require.Zero(t, h.dropped, "kept for ever")
	require.NotContains(t, h.expired, "price_submissions")
	require.Equal(t, now.AddDate(0, 0, -2), h.expired["decisions"])

	require.ErrorContains(t, activities.CheckKeep(map[string]time.Duration{"decision": time.Hour}), `"decision"`)
	require.ErrorContains(t, activities.CheckKeep(map[string]time.Duration{"events": -time.Hour}), "events")
}

// TestOneTableKeepsNoOtherFromItsTurn: it would be the same one every night.
func TestOneTableKeepsNoOtherFromItsTurn(t *testing.T) {
	t.Parallel()

	h := &house{expired: map[string]time.Time{}, broken: "cleanup_reports"}
	_, err := (&activities.Housekeeping{Store: h, Log: quiet}).CleanUpData(t.Context())
	require.ErrorContains(t, err, "its lock was not there")
	require.Len(t, h.expired, len(activities.DefaultKeep)-1)
}
