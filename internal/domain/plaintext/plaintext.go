// Package plaintext defines which characters a text may have that people read: names,
// reasons, messages, tags, versions. It is pure.
//
// A character that is not shown can make two names look alike, reverse the order in which
// a line is read, begin a line of its own in a log or a table, or command a terminal.
package plaintext

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const blankBraille = '\u2800' // a symbol without a mark

// IsHidden says whether a character by itself is not shown: control and format characters,
// line breaks, marks of direction, and whatever Unicode says a program may leave out
// (https://www.unicode.org/reports/tr44/#Default_Ignorable_Code_Point).
func IsHidden(r rune) bool {
	if r < utf8.RuneSelf {
		return r < ' ' || r == 0x7f
	}
	return r == blankBraille || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp,
		unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// FindHidden returns the first character of a text that is not shown. A selector or a joiner
// that changes how the characters beside it are drawn is shown by them.
func FindHidden(s string) (rune, bool) {
	around := surroundings{}
	for i, r := range s {
		if IsHidden(r) && !around.show(r, s[i:]) {
			return r, true
		}
		around.pass(r)
	}
	return 0, false
}

// CleanLine makes one line of a text: a line break or a tab becomes a space, and any other
// hidden character U+FFFD. It removes none, so that two texts stay two.
func CleanLine(s string) string { return replaceHidden(s, false) }

// CleanLines does the same to a text of several lines, and keeps line feeds and tabs.
func CleanLines(s string) string { return replaceHidden(strings.ReplaceAll(s, "\r\n", "\n"), true) }

func replaceHidden(s string, lines bool) string {
	if _, found := FindHidden(s); !found {
		return s
	}
	out := make([]rune, 0, len(s))
	around := surroundings{}
	for i, r := range s {
		shown := r
		switch {
		case !IsHidden(r) || around.show(r, s[i:]):
		case lines && (r == '\n' || r == '\t'):
		case unicode.IsSpace(r): // line breaks of every kind, U+0085 and U+2028 among them
			shown = ' '
		default:
			shown = unicode.ReplacementChar
		}
		out = append(out, shown)
		around.pass(r)
	}
	return string(out)
}
