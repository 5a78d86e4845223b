package plaintext

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Characters that draw nothing by themselves and change the characters beside them.
const (
	asText    = '\ufe0e' // a pictograph is drawn like a letter
	asPicture = '\ufe0f' // and in colours
	joiner    = '\u200d'
	nonJoiner = '\u200c'
	keycap    = '\u20e3'
)

// joined are the scripts whose letters are joined or kept apart by a joiner
// (https://www.unicode.org/reports/tr31/#Layout_and_Format_Control_Characters).
var joined = []*unicode.RangeTable{
	unicode.Arabic, unicode.Bengali, unicode.Devanagari, unicode.Gujarati, unicode.Gurmukhi, unicode.Kannada,
	unicode.Khmer, unicode.Malayalam, unicode.Mongolian, unicode.Myanmar, unicode.Nko, unicode.Oriya,
	unicode.Sinhala, unicode.Syriac, unicode.Tamil, unicode.Telugu,
}

// surroundings are the two characters before a place in a text.
type surroundings struct{ before, previous rune }

func (a *surroundings) pass(r rune) { a.before, a.previous = a.previous, r }

// show says whether the hidden character r, with which rest begins, changes what stands
// beside it: in an emoji (https://www.unicode.org/reports/tr51/#Emoji_Sequences), or in a
// word of a script whose letters are joined.
func (a *surroundings) show(r rune, rest string) bool {
	next, _ := utf8.DecodeRuneInString(rest[utf8.RuneLen(r):])
	switch r {
	case asText, asPicture:
		return isPictograph(a.previous) || next == keycap && strings.ContainsRune("0123456789#*", a.previous)
	case joiner:
		base := a.previous
		if base == asPicture || unicode.In(base, unicode.Sk) { // a colour or a skin belongs to what is before it
			base = a.before
		}
		return isPictograph(base) && isPictograph(next) || isJoined(a.previous) && isJoined(next)
	case nonJoiner:
		return isJoined(a.previous) && isJoined(next)
	}
	return false
}

func isPictograph(r rune) bool {
	return r != unicode.ReplacementChar && !IsHidden(r) && unicode.Is(unicode.So, r)
}

func isJoined(r rune) bool { return unicode.In(r, joined...) && !IsHidden(r) }
