package sealing_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/sealing"
)

func key(id string, b byte) sealing.Key {
	return sealing.Key{ID: id, Secret: bytes.Repeat([]byte{b}, sealing.KeySize)}
}

func boxOf(t *testing.T, keys ...sealing.Key) sealing.Box {
	t.Helper()
	all, err := sealing.NewKeys(keys...)
	require.NoError(t, err)
	return all.BoxFor("tokens")
}

// TestKeysAreReplacedWithoutAPause: whatever was sealed before is opened in each step, also
// what the one key without an id sealed.
func TestKeysAreReplacedWithoutAPause(t *testing.T) {
	t.Parallel()
	one, both, turned, done := boxOf(t, key("", 1)), boxOf(t, key("", 1), key("a", 2)), boxOf(t, key("a", 2),
		key("", 1)), boxOf(t, key("a", 2))
	old, err := one.Seal("secret", "c1")
	require.NoError(t, err)
	for name, box := range map[string]sealing.Box{"one": one, "both": both, "turned": turned} {
		text, err := box.Open(old, "c1")
		require.NoError(t, err, name)
		require.Equal(t, "secret", text)
		_, err = box.Open(old, "c2")
		require.ErrorIs(t, err, sealing.ErrUnreadable, "it belongs to another row")
	}
	require.True(t, one.IsCurrent(old))
	require.False(t, turned.IsCurrent(old))
	fresh, err := turned.Seal("secret", "c1")
	require.NoError(t, err)
	require.True(t, turned.IsCurrent(fresh))
	for _, box := range []sealing.Box{both, turned, done} {
		text, err := box.Open(fresh, "c1")
		require.NoError(t, err)
		require.Equal(t, "secret", text)
	}
	_, err = done.Open(old, "c1")
	require.ErrorIs(t, err, sealing.ErrUnreadable)
	_, err = one.Open(fresh, "c1")
	require.ErrorIs(t, err, sealing.ErrUnreadable)
}

func TestEachUseHasItsOwnKey(t *testing.T) {
	t.Parallel()
	all, err := sealing.NewKeys(key("a", 1))
	require.NoError(t, err)
	sealed, err := all.BoxFor("tokens").Seal("secret", "x")
	require.NoError(t, err)
	_, err = all.BoxFor("sinks").Open(sealed, "x")
	require.ErrorIs(t, err, sealing.ErrUnreadable)
	for _, cut := range [][]byte{nil, {1}, sealed[:10], sealed[:len(sealed)-1]} {
		_, err = all.BoxFor("tokens").Open(cut, "x")
		require.ErrorIs(t, err, sealing.ErrUnreadable)
	}
}

func TestKeysAreJudged(t *testing.T) {
	t.Parallel()
	_, err := sealing.NewKeys()
	require.Error(t, err)
	_, err = sealing.NewKeys(sealing.Key{ID: "a", Secret: []byte("short")})
	require.ErrorContains(t, err, "5 bytes")
	_, err = sealing.NewKeys(key("a", 1), key("a", 2))
	require.ErrorContains(t, err, "two keys")
}
