package spool_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/box/spool"
)

func TestNoticesAreKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := spool.Open(dir)
	require.NoError(t, err)
	at := time.Date(2026, 11, 28, 16, 42, 7, 0, time.UTC)
	first := &spool.Notice{
		ID:         spool.NoticeID(spool.Termination, "i-1", at),
		Kind:       spool.Termination,
		InstanceID: "i-1",
		Deadline:   at,
		DetectedAt: at.Add(-2 * time.Minute),
		Hooks:      []spool.Hook{{Name: "notice/10-a", Attempts: 1, Started: at, Exit: 3, Output: "gone"}},
	}
	second := &spool.Notice{
		ID:         spool.NoticeID(spool.Rebalance, "i-1", at),
		Kind:       spool.Rebalance,
		InstanceID: "i-1",
		DetectedAt: at.Add(-time.Hour),
	}
	require.NoError(t, s.Save(first))
	require.NoError(t, s.Save(second))
	first.Answer = &spool.Answer{At: at, Action: "replica_promoted", Final: true}
	require.NoError(t, s.Save(first))

	again, err := spool.Open(dir)
	require.NoError(t, err)
	found, err := again.Load()
	require.NoError(t, err)
	require.Equal(t, []*spool.Notice{second, first}, found)
	require.NoError(t, again.Remove(first.ID))
	require.NoError(t, again.Remove(first.ID), "removing twice is no error")
	found, err = again.Load()
	require.NoError(t, err)
	require.Equal(t, []*spool.Notice{second}, found)
}

// TestBadFilesHideNoGoodOnes: a file that was torn, and a write that was cut off.
func TestBadFilesHideNoGoodOnes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := spool.Open(dir)
	require.NoError(t, err)
	good := &spool.Notice{ID: "a", InstanceID: "i-1"}
	require.NoError(t, s.Save(good))
	for name, content := range map[string]string{
		"b.json":   `{"id":"b","insta`,
		"c.json":   `{}`,
		".new-123": `{"id":"d"`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "notices", name), []byte(content), 0o600))
	}
	found, err := s.Load()
	require.ErrorContains(t, err, "b.json")
	require.ErrorContains(t, err, "c.json")
	require.Equal(t, []*spool.Notice{good}, found)
	found, err = s.Load()
	require.NoError(t, err, "they were put aside")
	require.Len(t, found, 1)
	require.NoFileExists(t, filepath.Join(dir, "notices", ".new-123"))
}
