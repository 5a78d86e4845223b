package trail_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/trail"
)

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func entries(from, until int64) (out []trail.Entry) {
	for id := from; id <= until; id++ {
		out = append(out, trail.Entry{
			ID:      id,
			At:      noon.Add(time.Duration(id) * time.Second),
			Type:    "t",
			Actor:   "operator:ann",
			Details: "{}",
		})
	}
	return out
}

// sealed is a chain of three entries on one day and two on the next.
func sealed() []trail.SealedEntry {
	all := entries(1, 5)
	seals := trail.SealEntries(nil, noon, all[:3])
	seals = append(seals, trail.SealEntries(&seals[2], noon.Add(24*time.Hour), all[3:])...)
	out := make([]trail.SealedEntry, len(seals))
	for i := range seals {
		out[i] = trail.SealedEntry{Seal: seals[i], Entry: &all[i]}
	}
	return out
}

func verify(all []trail.SealedEntry) error {
	var v trail.Verifier
	for _, s := range all {
		if err := v.Next(s); err != nil {
			return err
		}
	}
	return nil
}

func TestAChainShowsWhatWasChanged(t *testing.T) {
	t.Parallel()
	require.NoError(t, verify(sealed()))
	require.NoError(t, verify(sealed()[3:]), "a day that expired is no gap")
	for name, harm := range map[string]func([]trail.SealedEntry) []trail.SealedEntry{
		"an actor":              func(s []trail.SealedEntry) []trail.SealedEntry { s[1].Entry.Actor = "operator:bob"; return s },
		"a time":                func(s []trail.SealedEntry) []trail.SealedEntry { s[4].Entry.At = noon; return s },
		"an entry that is gone": func(s []trail.SealedEntry) []trail.SealedEntry { s[2].Entry = nil; return s },
		"a seal that is gone":   func(s []trail.SealedEntry) []trail.SealedEntry { return append(s[:1], s[2:]...) },
		"the last of a day":     func(s []trail.SealedEntry) []trail.SealedEntry { return append(s[:2], s[3:]...) },
		"the first of a day":    func(s []trail.SealedEntry) []trail.SealedEntry { return s[1:] },
		"two that changed places": func(s []trail.SealedEntry) []trail.SealedEntry {
			s[0].Entry, s[1].Entry = s[1].Entry, s[0].Entry
			return s
		},
	} {
		err := verify(harm(sealed()))
		require.True(t, fault.Is(err, trail.Broken), "%s: %v", name, err)
	}
}
