package plaintext_test

import (
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"spotkeeper/internal/domain/plaintext"
)

func TestCleanLine(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, line, lines string }{
		"plain":              {"web-1 in eu-west-1a", "web-1 in eu-west-1a", "web-1 in eu-west-1a"},
		"other scripts":      {"Zürich 東京 Київ עברית", "Zürich 東京 Київ עברית", "Zürich 東京 Київ עברית"},
		"an emoji":           {"web 🚀", "web 🚀", "web 🚀"},
		"emoji in parts":     {"🛰️ 👩‍🚀 👩🏽‍🚀 ❤️‍🔥 1️⃣", "🛰️ 👩‍🚀 👩🏽‍🚀 ❤️‍🔥 1️⃣", "🛰️ 👩‍🚀 👩🏽‍🚀 ❤️‍🔥 1️⃣"},
		"joined letters":     {"می\u200cخواهم ශ්\u200dරී", "می\u200cخواهم ශ්\u200dරී", "می\u200cخواهم ශ්\u200dරී"},
		"a joiner at an end": {"🚀\u200d", "🚀\ufffd", "🚀\ufffd"},
		"a joiner in web":    {"we\u200db", "we\ufffdb", "we\ufffdb"},
		"a non-joiner":       {"we\u200cb🚀\u200c🚀", "we\ufffdb🚀\ufffd🚀", "we\ufffdb🚀\ufffd🚀"},
		"two selectors":      {"🛰\ufe0f\ufe0f\u200d🚀", "🛰\ufe0f\ufffd\ufffd🚀", "🛰\ufe0f\ufffd\ufffd🚀"},
		"a selector at 1":    {"1\ufe0f", "1\ufffd", "1\ufffd"},
		"a selector alone":   {"\ufe0f\u2800\ufe0f", "\ufffd\ufffd\ufffd", "\ufffd\ufffd\ufffd"},
		"a line break":       {"a\nb\r\nc", "a b  c", "a\nb\nc"},
		"a tab":              {"a\tb", "a b", "a\tb"},
		"a line separator":   {"a\u2028b\u2029c\u0085d", "a b c d", "a b c d"},
		"a terminal command": {"a\x1b[2Jb", "a\ufffd[2Jb", "a\ufffd[2Jb"},
		"NUL and DEL":        {"a\x00b\x7f", "a\ufffdb\ufffd", "a\ufffdb\ufffd"},
		"a reversed order":   {"a\u202etxt.exe", "a\ufffdtxt.exe", "a\ufffdtxt.exe"},
		"an isolate":         {"a\u2066b\u2069", "a\ufffdb\ufffd", "a\ufffdb\ufffd"},
		"a zero width":       {"w\u200beb\ufeff", "w\ufffdeb\ufffd", "w\ufffdeb\ufffd"},
		"a soft hyphen":      {"we\u00adb", "we\ufffdb", "we\ufffdb"},
		"a blank letter":     {"web\u3164\u2800\u115f", "web\ufffd\ufffd\ufffd", "web\ufffd\ufffd\ufffd"},
		"a tag character":    {"web\U000e0041", "web\ufffd", "web\ufffd"},
		"a selector":         {"web\ufe0f\U000e0100", "web\ufffd\ufffd", "web\ufffd\ufffd"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.line, plaintext.CleanLine(c.in))
			require.Equal(t, c.lines, plaintext.CleanLines(c.in))
			_, found := plaintext.FindHidden(c.in)
			require.Equal(t, c.in != c.line, found)
		})
	}
}

func TestCleanLineLeavesNothingHidden(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.SampledFrom([]rune(
			"a1🚀🛰🏽س\u2800\ufffd\u20e3\ufe0e\ufe0f\u200d\u200c\u200b\n")))).Draw(t, "text")
		out := plaintext.CleanLine(in)
		_, found := plaintext.FindHidden(out)
		require.False(t, found, "%q", out)
		require.Equal(t, utf8.RuneCountInString(in), utf8.RuneCountInString(out), "no two texts become one by a removal")
		require.Equal(t, out, plaintext.CleanLine(out))
	})
}
